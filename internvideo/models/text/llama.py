"""The LLaMA text tower of InternVL-C and of the large CLIP models (arXiv 2312.14238)."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

ARCHITECTURES: dict[str, dict[str, Any]] = {
    # The 7B model with the vocabulary of Chinese-Alpaca, which InternVL-C was trained with.
    '7B': dict(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=49954,
        rms_norm_eps=1e-6,
        max_position_embeddings=2048,
        pad_token_id=0,
    ),
}
LORA_DEFAULTS = dict(r=16, alpha=32, dropout=0.1, targets=('q_proj', 'v_proj'))


@MODELS.register_module()
class LlamaText(BaseModule):
    """LLaMA without language head, whose projected state at the last token is the feature.

    Token id 0 is padding and unknown token at once: both are masked, and the read position is
    the number of other tokens less one.  So it was when the published weights were trained.

    Parameters: ``transformer.*`` (transformers' ``LlamaModel``), ``text_projection``.  With
    LoRA, wrapped weights are ``...q_proj.base_layer.weight`` here, ``...q_proj.weight`` in
    published files; adapters know.

    Args:
        arch: ``'7B'`` or a dict of ``LlamaConfig`` fields.
        out_dim: width of the feature.
        lora: None, or fields of low-rank adapters (arXiv 2106.09685): ``r``, ``alpha``,
            ``dropout`` and ``targets`` (names of the adapted maps).  The adapted model's own
            weights do not learn.
        attn_backend: ``'auto'``, ``'sdpa'`` or ``'eager'``; same numbers.

    Raises:
        ValueError: unknown architecture or field of ``lora``.
        ImportError: transformers, or peft when ``lora`` is given, is not installed.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = '7B',
        out_dim: int = 768,
        lora: Mapping[str, Any] | None = None,
        attn_backend: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        from transformers import LlamaConfig, LlamaModel

        super().__init__(init_cfg)
        if isinstance(arch, str):
            if arch not in ARCHITECTURES:
                raise ValueError(f'arch must be one of {", ".join(ARCHITECTURES)}, got {arch!r}')
            arch = ARCHITECTURES[arch]
        # Texts are read in one pass: keys kept for a next call would only take memory.
        config = LlamaConfig(**arch, use_cache=False)
        config._attn_implementation = 'eager' if attn_backend == 'eager' else 'sdpa'
        self.config, self.out_dim = config, out_dim
        self.transformer = LlamaModel(config)
        self.text_projection = nn.Parameter(torch.empty(config.hidden_size, out_dim))
        # The published code leaves it uninitialised until a file is loaded.
        nn.init.normal_(self.text_projection, std=config.hidden_size**-0.5)
        if lora is not None:
            self._add_lora({**LORA_DEFAULTS, **lora})
        # It has initialised itself: mmengine shall not call transformers' method of that name.
        self.transformer.is_init = True

    def _add_lora(self, fields: dict[str, Any]) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        unknown = sorted(set(fields) - set(LORA_DEFAULTS))
        if unknown:
            raise ValueError(
                f'lora has unknown fields {unknown}; known: {", ".join(LORA_DEFAULTS)}'
            )
        config = LoraConfig(
            r=fields['r'],
            lora_alpha=fields['alpha'],
            lora_dropout=fields['dropout'],
            target_modules=list(fields['targets']),
        )
        # Without the wrapper model of peft, which puts prefixes before all names.
        self.transformer = inject_adapter_in_model(config, self.transformer)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        config = small.with_arch(
            config,
            ARCHITECTURES,
            '7B',
            hidden_size=small.width,
            num_hidden_layers=small.depth,
            num_attention_heads=small.heads,
            intermediate_size=2 * small.width,
        )
        return config | dict(out_dim=small.width)

    @property
    def text_limits(self) -> tuple[int, int]:
        """Tokens that there are embeddings for, and positions of a text."""
        return self.config.vocab_size, self.config.max_position_embeddings

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) tokens, 0 = padding -> (B, ``out_dim``) features, not normalised."""
        text = input_ids > 0
        states = self.transformer(input_ids=input_ids, attention_mask=text.long())
        last = (text.sum(dim=1) - 1).clamp_min(0)  # a text of padding alone is read at its start
        hidden = states.last_hidden_state
        return hidden[torch.arange(len(hidden), device=hidden.device), last] @ self.text_projection
