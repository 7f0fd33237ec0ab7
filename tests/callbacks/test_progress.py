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


def test_it_also_shows_sampling(fit):
    fit(stage="predict", callbacks=[Progress()], trainer={"enable_progress_bar": True})
