# SPDX-License-Identifier: Apache-2.0
"""The demo at a tiny size: that its checks hold, and that each of them fails on a fault that it is there to find."""

import collections
import dataclasses
import math
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from demo import accuracy, corpus, picture, share, speed, train
from demo.model import GPT, Shape, addnorm_add_norm, torch_add_norm

TINY = train.Recipe(shape=Shape(layers=4, width=32, heads=2, context=32, dropout=0.2), steps=40, batch=4, warmup=5, windows=64)


@pytest.fixture(autouse=True)
def one_thread():
    """At this size threads only wait for each other, and on a busy machine for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def text():
    return corpus.load()


def test_text_is_the_pinned_one(text):
    assert text.sha256 == corpus.SHA256
    assert text.size > corpus.MINIMUM_BYTES
    assert len(text.train) + len(text.held_out) == text.size


def test_text_that_is_cut_short_is_refused():
    data = corpus.DATA_FILE.read_bytes()
    with pytest.raises(ValueError, match="cut short"):
        corpus.read_bible_data(data[:-1])
    with pytest.raises(ValueError, match="EC02"):
        corpus.read_bible_data(b"plain text")


def test_bigram_loss_is_that_of_counting_by_hand(text):
    small = dataclasses.replace(text, train=text.train[:5000], held_out=text.held_out[:500])
    pairs = collections.Counter(zip(small.train[:-1].tolist(), small.train[1:].tolist(), strict=True))
    firsts = collections.Counter(small.train[:-1].tolist())
    held_out = list(zip(small.held_out[:-1].tolist(), small.held_out[1:].tolist(), strict=True))
    by_hand = -sum(math.log((pairs[a, b] + 1) / (firsts[a] + len(small.symbols))) for a, b in held_out) / len(held_out)
    assert corpus.bigram_loss(small) == pytest.approx(by_hand, rel=1e-12)


def test_a_model_of_uniform_output_loses_log_of_the_symbols(text):
    model = GPT(len(text.symbols), TINY.shape, seed=1)
    torch.nn.init.zeros_(model.symbol.weight)
    assert model.loss(text.train[:66].view(2, 33)).item() == pytest.approx(math.log(len(text.symbols)), rel=1e-6)


def test_replayed_masks_give_the_same_losses(text):
    losses = train.replay(text, TINY)
    assert len(losses[0]) == TINY.replay_steps == 100
    assert train.largest_difference(losses) <= train.REPLAY_BOUND
    assert losses[0][-1] < losses[0][0] - 0.5, "nothing was learnt"


@pytest.mark.parametrize(
    "fault",
    [torch.logical_not, torch.ones_like, lambda mask: mask.roll(1, -1), lambda mask: mask.roll(1, 0)],
    ids=["inverted", "none", "column", "row"],
)
def test_a_wrong_mask_is_found(text, fault):
    losses = train.replay(text, dataclasses.replace(TINY, replay_steps=10), change=fault)
    assert train.largest_difference(losses) > 10 * train.REPLAY_BOUND


def test_nan_is_no_agreement():
    assert train.largest_difference(([1.0, math.nan], [1.0, 1.0])) == math.inf
    assert train.largest_difference(([], [])) == math.inf


def test_whole_runs_learn_and_draw(text, tmp_path):
    runs = dict(zip(("torch eager", "addnorm"), train.compare(text, TINY), strict=True))
    for run in runs.values():
        assert run.final < run.held_out[0][1] - 0.5
    assert runs["addnorm"].losses != runs["torch eager"].losses, "both runs had the same masks"
    shares = dict(zip(runs, share.measure(text, TINY, (torch_add_norm, addnorm_add_norm), steps=3), strict=True))
    assert all(0 < sites < whole for whole, sites in shares.values())
    cell = dataclasses.replace(speed.Cell(8, 64, torch.float32, 0.1, True), microseconds=(1.0, 2.0, 0.5))
    picture.draw(tmp_path / "demo.png", runs, 2.5, shares, [cell])
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_the_clock_around_a_site_changes_nothing(text):
    def losses(operator):
        torch.manual_seed(3)
        trainer = train.Trainer(text, TINY, operator)
        return [trainer.step(windows) for windows in train.batches(text.train, TINY, 3)]

    assert losses(share.timed(addnorm_add_norm, share.Clock())) == losses(addnorm_add_norm)


CASES = [
    accuracy.Case(64, torch.float32, offset=1e6),
    accuracy.Case(7, torch.bfloat16, magnitude=1e30, eps=0.0),
    accuracy.Case(64, torch.float32, constant=True, eps=1e-12),
    accuracy.Case(64, torch.bfloat16, "rms", residual=True, p=0.1),
    accuracy.Case(64, torch.float32, residual=True, p=0.5),
]


@pytest.mark.parametrize("case", CASES, ids=accuracy.Case.name)
def test_accuracy_within_the_contract(case):
    assert max(ours for ours, _ in accuracy.judge(case).values()) <= 1


@pytest.mark.parametrize("name", ["z", "dx", "dweight", "dbias", "prenorm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_accuracy_finds_one_wrong_element(name, dtype, monkeypatch):
    """A relative error of 2^-16 (bfloat16: 2^-6) in the largest element of one result puts that result outside its bound."""
    truth = accuracy.results_of

    def results_of(forward, case, data):
        results, mask = truth(forward, case, data)
        if forward is accuracy.addnorm_forward:
            flat = results[name].detach().clone().flatten()
            worst = flat.abs().argmax()
            flat[worst] *= 1 + (2**-6 if dtype == torch.bfloat16 else 2**-16)
            results[name] = flat.view(results[name].shape)
        return results, mask

    monkeypatch.setattr(accuracy, "results_of", results_of)
    figures = accuracy.judge(accuracy.Case(64, dtype, residual=True, p=0.1))
    assert [key for key, (ours, _) in figures.items() if ours > 1] == [name]


def test_a_wrong_result_fails_the_command(monkeypatch):
    truth = accuracy.judge
    monkeypatch.setattr(accuracy, "WIDTHS", (3,))
    monkeypatch.setattr(accuracy, "judge", lambda case: truth(case) | ({"z": (math.nan, 0.0)} if case.offset == 1e4 else {}))
    assert any("offset 10000" in failure for failure in accuracy.run())


def test_speed_measures_all_three():
    cell = speed.measure(speed.Cell(8, 64, torch.float32, 0.1, True), seconds=0.01)
    assert len(cell.microseconds) == len(speed.NAMES) and all(0 < figure < math.inf for figure in cell.microseconds)
