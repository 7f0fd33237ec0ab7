import torch

from doodl.shapes.scenes import draw_scenes
from doodl.shapes.tokenizer import CONTEXT, make_tokenizer


def test_captions_are_told_word_by_word():
    tokenizer = make_tokenizer()
    captions = draw_scenes(500, torch.Generator().manual_seed(0)).captions()
    short = 0
    for caption, tokens in zip(captions, tokenizer(captions).input_ids, strict=True):
        assert tokenizer.decode(tokens[1:-1]).strip() == caption
        short += len(tokens) <= CONTEXT
    assert short > 0.95 * len(captions)


def test_a_word_outside_the_vocabulary_is_spelt_in_bytes():
    tokenizer = make_tokenizer()
    tokens = tokenizer("zebra é").input_ids
    assert tokenizer.unk_token_id not in tokens[1:-1]
    assert "zebra" in tokenizer.decode(tokens[1:-1])
