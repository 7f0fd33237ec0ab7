import pytest
import torch

from doodl.shapes.diffusion import make_text_encoder
from doodl.shapes.diffusion_training import (
    DECAY,
    DiffusionTraining,
    encode_scenes,
    loss_weights,
    mislead,
    noisy_timesteps,
    positions,
)
from doodl.shapes.tokenizer import make_tokenizer


def test_captions_mislead_where_the_latent_shows_what_they_say():
    timesteps = torch.tensor([0, 200, 250, 300, 999])
    assert mislead(timesteps).tolist() == [1, 1, 0.5, 0, 0]


def test_a_third_of_the_timesteps_is_in_the_noisiest_fifth():
    timesteps = noisy_timesteps(torch.arange(1000) / 1000, 1000, layout=0)
    assert timesteps.min() == 0
    assert timesteps.max() == 999
    assert (timesteps >= 800).float().mean().item() == pytest.approx(1 / 3, abs=0.02)


def test_a_share_of_the_timesteps_decides_the_layout():
    spread = torch.arange(1000) / 1000
    timesteps = noisy_timesteps(spread, 1000, layout=0.7)
    first, others = timesteps[:700], timesteps[700:]
    assert first.unique().tolist() == list(range(930, 1000))
    expected = noisy_timesteps(torch.arange(300) / 300, 1000, layout=0)
    assert (others - expected).abs().max() <= 1  # one by rounding


def test_a_spread_that_rounding_made_1_has_the_last_timestep():
    spread = (31 + torch.tensor([1 - 2**-24])) / 32
    assert spread == 1
    assert noisy_timesteps(spread, 1000, layout=0.15) == 999


def test_weights_are_largest_where_the_layout_is_decided():
    weights = loss_weights(torch.tensor([0.0047, 0.25, 1, 5, 1000]))
    torch.testing.assert_close(weights[:4], torch.tensor([100, 5, 2, 1.2]))
    assert 5 / 1000 < weights[4] < 1  # more than by min-SNR-5


def test_the_rate_is_constant_and_then_falls_to_zero():
    training = DiffusionTraining(
        make_text_encoder(),
        torch.zeros(1, 4, 16, 16),
        torch.zeros(1, 1, 20),
        steps=1000,
    )
    start = round((1 - DECAY) * 1000)
    assert training.rate(50) == 0.5
    assert training.rate(100) == training.rate(start) == 1
    assert training.rate(1000) == pytest.approx(0, abs=2e-3)


def test_a_step_moves_the_unet_and_its_average_toward_knowing_positions():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(32, 4, 16, 16, generator=generator)
    tokens = torch.zeros(32, 2, 20, dtype=torch.long)
    training = DiffusionTraining(
        make_text_encoder(), latents, tokens, steps=30, batch_size=4
    )
    training.log_dict = lambda values: None
    before = [p.clone() for p in training.average.parameters()]
    optimizer = torch.optim.Adam(training.trained(), lr=1e-3)
    errors = []
    for _ in range(25):
        optimizer.zero_grad()
        training.training_step(0).backward()
        errors.append(training.misplaced().item())
        optimizer.step()
        training.on_train_batch_end(None, 0, 0)
    assert errors[-1] < 0.6 * errors[0]
    after = list(training.average.parameters())
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    assert all(p.grad is None for p in training.encoder.parameters())


def test_positions_are_those_of_the_columns_and_rows():
    found = positions(torch.zeros(3, 5, 2, 4))
    assert found.shape == (3, 2, 2, 4)
    assert found[0, 0, 1].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert found[2, 1, :, 3].tolist() == [-1, 1]


class StubEncoder:
    """Stands for the VAE: the latent is the picture's brightness."""

    device = "cpu"

    def encode(self, images):
        self.latent_dist, self.mean = self, images.mean((1, 2, 3)).expand(4, 16, 16, -1)
        self.mean = self.mean.permute(3, 0, 1, 2)
        return self


def test_every_picture_has_two_captions_of_the_same_objects():
    latents, tokens = encode_scenes(StubEncoder(), 64)
    assert latents.shape == (64, 4, 16, 16)
    assert tokens.shape == (64, 2, 20)
    tokenizer = make_tokenizer()
    texts = tokenizer.batch_decode(tokens.flatten(0, 1), skip_special_tokens=True)
    for first, second in zip(texts[::2], texts[1::2], strict=True):
        named = [sorted(set(t.split()) & {"circle", "star"}) for t in (first, second)]
        assert named[0] == named[1]
