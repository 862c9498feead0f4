# SPDX-License-Identifier: Apache-2.0
"""Training runs of the demo and the checks on them: masks replayed step by step, and independent masks compared by held-out loss."""

import dataclasses
import math
import time

import torch

from demo.model import GPT, Shape, addnorm_add_norm, torch_add_norm

REPLAY_BOUND = 1e-3  # nats, largest difference of the training losses over the replayed steps
HELD_OUT_BOUND = 0.01  # relative difference of the held-out losses with independent masks
BASELINE_MARGIN = 0.15  # the held-out loss lies at least this fraction below the bigram baseline


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How long and how a model is trained. AdamW, linear warm-up, then a cosine down to 0."""

    shape: Shape = dataclasses.field(default_factory=Shape)
    steps: int = 1000
    replay_steps: int = 100
    batch: int = 16
    learning_rate: float = 5e-3
    warmup: int = 50
    evaluate_at: tuple = (25, 50, *range(100, 1000, 100))  # steps; and always before the first and after the last one
    windows: int = 640  # held-out windows of an evaluation
    seed: int = 1


@dataclasses.dataclass
class Run:
    """What one training run left: training losses by step, held-out losses at steps, seconds of each step."""

    losses: list
    held_out: list  # (step, loss); the last one is after the last step
    seconds: list

    @property
    def final(self):
        return self.held_out[-1][1]

    def step_ms(self):
        """Median milliseconds of a step."""
        return 1e3 * sorted(self.seconds)[len(self.seconds) // 2]


def batches(text, recipe, count):
    """`count` batches of random windows of the training text, the same for the same seed."""
    generator = torch.Generator().manual_seed(recipe.seed)
    length = recipe.shape.context + 1
    for _ in range(count):
        starts = torch.randint(len(text) - length, (recipe.batch, 1), generator=generator)
        yield text[starts + torch.arange(length)]


class Trainer:
    """One model with its optimiser; `step` takes one batch."""

    def __init__(self, corpus, recipe, operator):
        self.recipe = recipe
        self.model = GPT(len(corpus.symbols), recipe.shape, recipe.seed).use(operator)
        matrices = [p for p in self.model.parameters() if p.dim() == 2]
        vectors = [p for p in self.model.parameters() if p.dim() != 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95))
        self.taken = 0

    def rate(self):
        """The learning rate of the next step."""
        recipe = self.recipe
        if self.taken < recipe.warmup:
            return recipe.learning_rate * (self.taken + 1) / recipe.warmup
        done = (self.taken - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def step(self, windows):
        """Trains on one batch and returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.model.train()
        loss = self.model.loss(windows)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.taken += 1
        return loss.item()

    @torch.no_grad()
    def evaluate(self, text):
        """Mean loss over windows spread evenly over `text`, without dropout."""
        self.model.eval()
        length, windows = self.recipe.shape.context + 1, self.recipe.windows
        starts = torch.linspace(0, len(text) - length, windows).long()[:, None]
        losses = [self.model.loss(text[part + torch.arange(length)]) * len(part) for part in starts.split(64)]
        return (sum(losses) / windows).item()


def train(corpus, recipe, operator, tick=lambda: None):
    """One whole run with `operator` in every site. Masks come from torch's default generator, seeded here. Calls `tick` after each step."""
    torch.manual_seed(recipe.seed)
    trainer = Trainer(corpus, recipe, operator)
    run = Run([], [(0, trainer.evaluate(corpus.held_out))], [])
    for step, windows in enumerate(batches(corpus.train, recipe, recipe.steps), 1):
        begin = time.perf_counter()
        run.losses.append(trainer.step(windows))
        run.seconds.append(time.perf_counter() - begin)
        if step in recipe.evaluate_at or step == recipe.steps:
            run.held_out.append((step, trainer.evaluate(corpus.held_out)))
        tick()
    return run


class Recorder:
    """addnorm's operator with an explicit dropout key per call; keeps the masks that it returns."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.masks = []

    def __call__(self, x, residual, weight, bias, p, epsilon):
        import addnorm

        key = torch.randint(2**63 - 1, (2,), generator=self.generator)
        z, h, mask = addnorm.dropout_add_layer_norm(x, residual, weight, bias, p, epsilon, prenorm=True, return_dropout_mask=True, seed=key)
        self.masks.append(mask)
        return z, h


class Replayer:
    """torch's own operators, with the recorded masks in place of torch's random ones. `change` maps each mask, for tests."""

    def __init__(self, recorder, change=lambda mask: mask):
        self.recorder, self.change = recorder, change

    def __call__(self, x, residual, weight, bias, p, epsilon):
        kept = self.change(self.recorder.masks.pop(0))
        dropped = torch.where(kept, x / (1 - p), 0.0)
        return torch_add_norm(dropped, residual, weight, bias, 0.0, epsilon)


def replay(corpus, recipe, tick=lambda: None, change=lambda mask: mask):
    """Trains with addnorm and, in step with it, with torch on addnorm's masks. Returns the two lists of training losses."""
    recorder = Recorder(recipe.seed)
    ours = Trainer(corpus, recipe, recorder)
    torchs = Trainer(corpus, recipe, Replayer(recorder, change))
    losses = [], []
    for windows in batches(corpus.train, recipe, recipe.replay_steps):
        losses[0].append(ours.step(windows))
        losses[1].append(torchs.step(windows))
        assert not recorder.masks, "torch has not used every mask that addnorm has made"
        tick()
    return losses


def largest_difference(losses):
    """max |a - b| over the steps of two loss curves; NaN anywhere gives inf, so that no comparison passes by it."""
    gaps = [abs(a - b) for a, b in zip(*losses, strict=True)]
    return max((gap if gap == gap else math.inf for gap in gaps), default=math.inf)


def compare(corpus, recipe, tick=lambda: None):
    """The two whole runs from one seed with independent masks: (torch's Run, addnorm's Run)."""
    return tuple(train(corpus, recipe, operator, tick) for operator in (torch_add_norm, addnorm_add_norm))
