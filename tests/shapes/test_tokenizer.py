import torch

from doodl.shapes.scenes import draw_scenes
from doodl.shapes.tokenizer import CONTEXT, make_tokenizer


def test_every_word_of_a_caption_is_one_token():
    tokenizer = make_tokenizer()
    captions = draw_scenes(500, torch.Generator().manual_seed(0)).captions()
    for caption, tokens in zip(captions, tokenizer(captions).input_ids, strict=True):
        assert len(tokens) == len(caption.split()) + 2 <= CONTEXT
        assert tokenizer.decode(tokens[1:-1]).strip() == caption


def test_a_word_outside_the_vocabulary_is_spelt_in_bytes():
    tokenizer = make_tokenizer()
    tokens = tokenizer("zebra é").input_ids
    assert tokenizer.unk_token_id not in tokens[1:-1]
    assert "zebra" in tokenizer.decode(tokens[1:-1])
