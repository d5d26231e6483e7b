"""Candidate answers that a tested data set hands to its model."""

from typing import Any

from mmengine.hooks import Hook

from internvideo.registry import HOOKS


@HOOKS.register_module()
class CandidateAnswersHook(Hook):
    """Hands ``metainfo['answers']`` of the data set to ``model.set_candidates``.

    A data set without it lets the model answer freely.  It does so before every validation and
    every test, whose lists may differ.
    """

    def before_val(self, runner: Any) -> None:
        """Set the candidates of the validation set."""
        self._hand_over(runner, runner.val_loop.dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        """Set the candidates of the test set."""
        self._hand_over(runner, runner.test_loop.dataloader.dataset)

    def _hand_over(self, runner: Any, dataset: Any) -> None:
        model = runner.strategy.unwrap(runner.model)
        if hasattr(model, 'set_candidates'):
            model.set_candidates((getattr(dataset, 'metainfo', None) or {}).get('answers'))
