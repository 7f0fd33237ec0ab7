"""Wrong arguments of `doodl.optimize` are refused in one sentence, before any model."""

import pytest

import doodl
from doodl.callbacks import EarlyStopping
from doodl.guides import Symmetry
from doodl.optimizer import LatentSGD
from doodl.sampling.adjoints import DirectAdjoint
from doodl.sampling.ddim import DDIM


def loss(pixels):
    return pixels.mean((1, 2, 3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"prompts": None}, "a text or a list of texts for prompts, received None"),
        ({"prompts": b"a ring"}, "for prompts, received b'a ring'"),
        ({"prompts": {"a": 1}}, "for prompts, received {'a': 1}"),
        ({"prompts": ["a", 5]}, r"for prompts, received \['a', 5\]"),
        ({"seeds": 1.5}, "a whole number or a list of them for seeds, received 1.5"),
        ({"seeds": True}, "for seeds, received True"),
        ({"seeds": "0-3"}, "for seeds, received '0-3'"),
        ({"num_step": 3}, r"received num_step; did you mean num_steps\?"),
        ({"seed": 3}, r"received seed; did you mean seeds\?"),
        ({"colour": 3}, "received colour; leave it out"),
        ({"judge": loss}, "a guide object or None for judge"),
        ({"method": "ddim"}, "a method such as DDIM.* for method, received 'ddim'"),
        ({"method": DDIM}, r"for method, .*; give DDIM\(\)"),
        ({"guide": Symmetry}, r"for guide, .*; give Symmetry\(\)"),
        ({"method": object()}, r"a method such as DDIM\(\), or None for method"),
        ({"adjoint": object()}, "an adjoint such as DirectAdjoint"),
        ({"adjoint": DirectAdjoint}, r"for adjoint, .*; give DirectAdjoint\(\)"),
        ({"edit": DDIM()}, "an edit such as Edit"),
        ({"verdict": object()}, "an object with the methods load and verdicts"),
        ({"guide": "clip"}, "for guide, received 'clip'"),
        ({"num_updates": "5"}, "a whole number for num_updates, received '5'"),
        ({"batch_size": 2.0}, "a whole number for batch_size, received 2.0"),
        ({"height": "64"}, "pixels or None for height, received '64'"),
        ({"guidance_scale": "7"}, "a number for guidance_scale, received '7'"),
        ({"guidance_interval": 5}, "the first and the last timestep, .*received 5"),
        ({"guidance_interval": [1]}, "for guidance_interval, received"),
        ({"guidance_interval": ("a", "b")}, "for guidance_interval, received"),
        ({"execution": "compile"}, "an Execution .* for execution, received 'compile'"),
        ({"prompts": "\ud800"}, "whole characters in the prompt at position 1"),
        ({"optimizer": "adam"}, "a function that makes an optimiser"),
        ({"callbacks": 5}, "a list of different callbacks for callbacks, received 5"),
        ({"callbacks": ["x"]}, "a list of different callbacks"),
        ({"callbacks": [EarlyStopping(), EarlyStopping()]}, "different callbacks"),
        ({"negative_prompt": "\ud800"}, "whole characters in negative_prompt"),
        ({"negative_prompt": None}, "a text for negative_prompt, received None"),
        ({"latents_dtype": "half"}, "'float32' or 'float64' for latents_dtype"),
    ],
)
def test_a_wrong_argument_is_one_sentence(monkeypatch, arguments, words):
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", None)
    right = {"prompts": "a ring", "guide": loss}
    with pytest.raises(ValueError, match=words) as error:
        doodl.optimize("shapes", **(right | arguments))
    assert "\n" not in str(error.value)


def test_an_optimizer_that_is_made_already_is_refused():
    import torch

    made = LatentSGD([torch.zeros(2, 1, 4, 2, 2, requires_grad=True)])
    with pytest.raises(ValueError, match="a function that makes an optimiser"):
        doodl.optimize("shapes", "a ring", loss, optimizer=made)
