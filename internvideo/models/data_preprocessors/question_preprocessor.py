"""Clips, questions, answers and options of one batch, ready for a model that answers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

from .media_text_preprocessor import MediaTextPreprocessor, Tokens


@MODELS.register_module()
class QuestionPreprocessor(MediaTextPreprocessor):
    """:class:`MediaTextPreprocessor` for questions about clips.

    Args:
        max_question_length: tokens that a question, with its option if it has one, is cut to;
            None: the tokenizer's length.
        max_answer_length: tokens that an answer is cut to, its two special ones included.
        **fields: of :class:`MediaTextPreprocessor`.

    Input: ``dict(inputs, data_samples)`` of ``collate_questions``.  Output: the same with
    ``inputs['video']`` in float32 and tokens ``dict(input_ids, attention_mask)`` of the readable
    samples: ``question`` (Q, L); with options instead ``option``, one text a option, sample after
    sample; in training also ``answer``, those of all samples, one after the other.  Columns that
    are padding in every row are left out.  Every answer begins with the tokenizer's first special
    token and ends with its last, which is the end marker.

    The option is what tells texts of one question apart: of a text that is too long words are
    taken off the end of the question.
    """

    def __init__(
        self, *args: Any, max_question_length: int | None = None, max_answer_length: int = 10,
        **fields: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **fields)
        self.max_question_length, self.max_answer_length = max_question_length, max_answer_length

    def longest_inputs(self, inputs: dict[str, Any], training: bool) -> dict[str, Any]:
        """The inputs of a batch with texts of full length, for a rehearsal of memory."""
        question = self.max_question_length or self.tokenizer.max_length
        lengths = dict(question=question, option=question, answer=self.max_answer_length)
        longest = {
            name: {
                key: pad(each, (0, lengths[name] - each.shape[1])) for key, each in tokens.items()
            }
            for name, tokens in inputs.items()
            if name in lengths
        }
        return inputs | longest

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """See the class."""
        data = super().forward(data, training)
        if data['inputs'] is None:
            return data
        readable = [sample for sample in data['data_samples'] if not sample.is_unreadable]
        data['inputs'] |= self.texts_of(readable, training)
        return data

    def texts_of(
        self, data_samples: Sequence[VideoDataSample], training: bool
    ) -> dict[str, Tokens]:
        """Tokens of everything that the samples say, on the device.

        Raises ValueError when some samples have options and some have none.
        """
        with_options = ['option' in sample for sample in data_samples]
        if all(with_options):
            pairs = [(sample.question, text) for sample in data_samples for text in sample.option]
            return dict(option=self.tokens([self.joined(*pair) for pair in pairs]))
        if any(with_options):
            raise ValueError('some data samples of the batch have options and some have none')
        texts = dict(question=self.tokens([sample.question for sample in data_samples]))
        if training:
            answers = [text for sample in data_samples for text in sample.answers]
            texts['answer'] = self.tokens(answers, self.max_answer_length)
        return texts

    def joined(self, question: str, option: str) -> str:
        """Question and option in one text, which keeps the whole option."""
        words = question.split()
        length = self.max_question_length or self.tokenizer.max_length
        while words and self._count(' '.join([*words, option]), length) > length:
            words.pop()
        return ' '.join([*words, option])

    def _count(self, text: str, length: int) -> int:
        """Number of tokens of a text, or ``length + 1`` if there are more than ``length``."""
        if len(text) + 2 <= length:  # a token has one letter at least
            return len(text) + 2
        return int(self.tokenizer([text], length + 1)['attention_mask'].sum())

    def tokens(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Tokens of texts, on the device, as wide as the longest of them.

        Raises ValueError without a tokenizer.
        """
        tokens = self.tokenize(texts, max_length or self.max_question_length)
        # Columns of padding alone would be computed by every layer.
        width = int(tokens['attention_mask'].sum(dim=1).max())
        return {name: tensor[:, :width] for name, tensor in tokens.items()}

    def text_of(self, ids: Tensor) -> str:
        """The words of token ids (L,), without special tokens."""
        return self.tokenizer.tokenizer.decode(ids.tolist(), skip_special_tokens=True)
