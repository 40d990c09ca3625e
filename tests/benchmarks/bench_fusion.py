"""Twenty seeds of a fusion head in one loop, against a run of torchrl or of a Trainer for each."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterator, Sequence

import lightning
import pytest
import torch
from report import record, timed
from tensordict import TensorDict
from torch import nn
from torchrl.data import Categorical, LazyTensorStorage, TensorDictReplayBuffer
from torchrl.modules import MLP, EGreedyModule, QValueActor
from torchrl.objectives import DQNLoss, SoftUpdate, ValueEstimators

from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    DQNFusionModule,
    FusionConfig,
    FusionModuleBase,
    MLPFusionConfig,
    MoEFusionConfig,
    RLFusionBase,
    WeightedAvgConfig,
)
from graphids.core.models.fusion.learner import Training
from graphids.core.models.fusion.together import train_together

STATES, BATCH = 1024, 128
SEEDS, EPOCHS, ROUNDS = 20, 30, 2
FEW_SEEDS, FEW_EPOCHS = 5, 10
HEADS: dict[str, FusionConfig] = {
    "mlp": MLPFusionConfig(),
    "moe": MoEFusionConfig(),
    "weighted_avg": WeightedAvgConfig(),
    "dqn": DQNFusionConfig(),
    "bandit": BanditFusionConfig(),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    for name in ("lightning.pytorch", "torchrl"):
        logging.getLogger(name).setLevel(logging.WARNING)
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)


def states(rows: int, seed: int) -> TensorDict:
    """18 features of windows; the classifier knows most attacks, the autoencoder fewer."""
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(rows, generator=generator) < 0.3).long()
    noise = torch.randn(rows, 13, generator=generator)
    attack = torch.sigmoid(6.0 * label - 3.0 + 1.5 * noise[:, 0])
    error = (3.0 * label + noise[:, 1].abs()).unsqueeze(-1)
    td = TensorDict({}, batch_size=[rows])
    td["gat", "probs"] = torch.stack((1 - attack, attack), dim=-1)
    td["gat", "conf"] = torch.maximum(attack, 1 - attack).unsqueeze(-1)
    td["gat", "emb_stats"] = noise[:, 2:6]
    td["vgae", "errors"] = torch.cat((error, error, error), dim=-1)
    td["vgae", "conf"] = 1 / (1 + error)
    td["vgae", "z_stats"] = noise[:, 6:10]
    for column, name in enumerate(("spike", "affinity", "rq"), start=10):
        td["vgae", name] = noise[:, column : column + 1]
    td["labels"] = label
    return td


def training(config: FusionConfig, seed: int, epochs: int) -> Training:
    """A fresh head on states of its own."""
    td = states(STATES, seed)
    torch.manual_seed(seed)
    head = config.build(18)
    head.fit_features(td)
    if isinstance(head, DQNFusionModule):
        head.plan_decisions(epochs * STATES)
    return Training.of(head, td, seed)


def ours(trainings: Sequence[Training], epochs: int) -> None:
    failures = train_together(
        trainings, epochs=epochs, batch_size=BATCH, on_epoch=lambda epoch, metrics: None
    )
    assert failures == [None] * len(trainings)


def torchrl_run(head: DQNFusionModule, td: TensorDict, seed: int) -> tuple[QValueActor, float]:
    """One seed as torchrl's parts make it, with the settings, features and reward of ``head``.

    Returns:
        The trained actor, and the seconds of ``EGreedyModule.step``, which counts in a loop.
    """
    counting = 0.0
    torch.manual_seed(seed)
    config, arms = DQNFusionConfig(), len(head.alpha_values)
    every = head.reward.normalize(td)
    every["obs"] = head.standardised(every)
    spec = Categorical(arms)
    net = MLP(18, arms, num_cells=[config.hidden_dim] * config.num_layers, activation_class=nn.ReLU)
    actor = QValueActor(net, in_keys=["obs"], spec=spec)
    loss_module = DQNLoss(
        actor, loss_function="smooth_l1", double_dqn=True, delay_value=True, action_space=spec
    )
    loss_module.make_value_estimator(ValueEstimators.TD0, gamma=0.0)
    updater = SoftUpdate(loss_module, eps=config.target_eps)
    explorer = EGreedyModule(
        spec,
        eps_init=config.epsilon,
        eps_end=config.min_epsilon,
        annealing_num_steps=EPOCHS * STATES,
    )
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(config.buffer_size), batch_size=config.batch_size
    )
    optimiser = torch.optim.AdamW(
        loss_module.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    for _ in range(EPOCHS):
        for rows in torch.randperm(STATES).split(BATCH):
            with torch.no_grad():
                batch = explorer(actor(every[rows]))
                alphas = head.alpha_values[batch["action"]]
                fused = torch.lerp(*head.reward.derive_scores(batch), alphas)
                reward, _ = head.reward.compute(batch, fused >= 0.5, batch["labels"], alphas)
            ended = torch.ones(len(rows), 1, dtype=torch.bool)
            following = {
                "obs": batch["obs"],
                "reward": reward.unsqueeze(-1),
                "done": ended,
                "terminated": ended,
            }
            kept = {"obs": batch["obs"], "action": batch["action"], "next": following}
            buffer.extend(TensorDict(kept, [len(rows)]))
            counting += timed(lambda: explorer.step(BATCH))[1]
            loss = loss_module(buffer.sample())["loss"]
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(loss_module.parameters(), 1.0)
            optimiser.step()
            updater.step()
    return actor, counting


def accuracy(head: DQNFusionModule, arms: torch.Tensor, td: TensorDict) -> float:
    """Share of right decisions in percent, with these arms."""
    normalised = head.reward.normalize(td)
    fused = head.judge(normalised, head.standardised(normalised), arms).fused
    return 100.0 * float(((fused >= 0.5) == (td["labels"] > 0)).double().mean())


def test_twenty_seeds_of_a_q_network() -> None:
    unseen = states(20_000, seed=10_000)
    ours_seconds, their_seconds, counting = [], 0.0, 0.0
    ours_right, their_right = [], []
    for part in range(ROUNDS):
        trainings = [training(HEADS["dqn"], seed, EPOCHS) for seed in range(SEEDS)]
        ours_seconds.append(timed(lambda ready=trainings: ours(ready, EPOCHS))[1])
        for seed in range(part, SEEDS, ROUNDS):
            head = trainings[seed].head
            assert isinstance(head, DQNFusionModule)
            obs = TensorDict({"obs": head.standardised(head.reward.normalize(unseen))}, [20_000])
            arms, _, _ = head.select_action_batch(unseen, training=False)
            ours_right.append(accuracy(head, arms, unseen))
            (actor, steps), seconds = timed(
                lambda h=head, s=seed, td=trainings[seed].states: torchrl_run(h, td, s)
            )
            their_seconds += seconds
            counting += steps
            with torch.no_grad():
                their_right.append(accuracy(head, actor(obs)["action"], unseen))
    means = statistics.mean(ours_right), statistics.mean(their_right)
    assert means[0] == pytest.approx(means[1], abs=0.2)
    record(
        case="fusion by a deep Q-network, 20 seeds",
        peer="20 runs with torchrl's DQNLoss, QValueActor and TensorDictReplayBuffer",
        ours=statistics.mean(ours_seconds),
        theirs=their_seconds,
        unit="s",
        reach=6,
        larger_is_better=False,
        why=(
            f"one thread, {EPOCHS * STATES // BATCH} episodes and steps a seed; "
            f"accuracy {means[0]:.2f} and {means[1]:.2f} %; {counting / their_seconds:.0%} of the "
            "peer's time is EGreedyModule.step; two thirds of ours are matrix products, of which "
            "the peer has no fewer"
        ),
    )


class Shuffled:
    """Mini-batches for a Trainer."""

    def __init__(self, given: Training) -> None:
        self.given = given

    def __len__(self) -> int:
        return -(-STATES // BATCH)

    def __iter__(self) -> Iterator[TensorDict]:
        for rows in torch.randperm(STATES, generator=self.given.order).split(BATCH):
            yield self.given.states[rows]


def by_trainer(trainings: Sequence[Training], epochs: int) -> None:
    """One seed after the other through a Trainer that does nothing besides."""
    for given in trainings:
        if isinstance(given.head, RLFusionBase):
            given.head.generator = given.actions
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(given.head, Shuffled(given))


def loss(heads: Sequence[FusionModuleBase], td: TensorDict) -> float:
    """Mean cross-entropy of the heads' scores."""
    with torch.no_grad():
        return statistics.mean(float(head.eval().compute_loss(td)[0]) for head in heads)


@pytest.mark.parametrize("name", HEADS)
def test_five_seeds_of_each_head(name: str) -> None:
    seconds: tuple[list[float], list[float]] = ([], [])
    losses = []
    for _ in range(2):
        for way, taken in zip((ours, by_trainer), seconds, strict=True):
            trainings = [training(HEADS[name], seed, FEW_EPOCHS) for seed in range(FEW_SEEDS)]
            taken.append(timed(lambda w=way, ready=trainings: w(ready, FEW_EPOCHS))[1])
            losses.append(loss([given.head for given in trainings], states(5000, seed=10_000)))
    assert losses[0] == pytest.approx(losses[1], rel=0.25)
    record(
        case=f"fusion head {name}, 5 seeds",
        peer="a Lightning Trainer for each seed",
        ours=min(seconds[0]),
        theirs=min(seconds[1]),
        unit="s",
        reach=None,
        larger_is_better=False,
        why=f"one thread, {FEW_EPOCHS * STATES // BATCH} batches a seed, the better of two runs",
    )
