"""Samplers that know epochs, ranks and where a resumed run stands."""
