"""The progress line."""

from doodl.callbacks import Progress
from doodl.guides import Symmetry


def test_it_counts_generations_and_shows_scores(fit, capsys):
    fit(
        ["a"],
        seeds=range(3),
        batch_size=2,
        judge=Symmetry(),
        callbacks=[Progress()],
        trainer={"enable_progress_bar": True},
    )
    out, err = capsys.readouterr()
    shown = out + err
    for part in ("generations 1-2 of 3", "generations 3-3 of 3", "2/2", "guide=-0."):
        assert part in shown
    assert "judge=-0." in shown
    assert "v_num" not in shown


def test_it_counts_the_batches_that_are_sampled(fit, capsys):
    bar = {"enable_progress_bar": True}
    fit(
        ["a"],
        range(3),
        batch_size=2,
        stage="predict",
        callbacks=[Progress()],
        trainer=bar,
    )
    shown = "".join(capsys.readouterr())
    for part in ("Predicting", "1/2", "2/2"):
        assert part in shown
