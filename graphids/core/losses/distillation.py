"""A student learns from a larger teacher: from its logits of windows, or its view of nodes.

The teacher is any callable of a batch: a record of its outputs (``RecordedLogits``,
``RecordedNodes``) or a frozen model in evaluation mode. It is no submodule: its tensors are in no
state, are trained by no optimiser and stay on their device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.losses.autoencoder import AutoencoderLoss, VGAEOutputs
from graphids.core.losses.classification import WindowLoss, as_window_loss
from graphids.core.losses.finite import require_finite
from graphids.core.losses.teachers import TeacherNodes


def _require_share(alpha: float) -> None:
    """Raises unless ``alpha`` lies in ``[0, 1]``."""
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must lie in [0, 1] (got {alpha})")


def _require_shapes(shapes: dict[str, tuple[Tensor, tuple[int, ...]]], remedy: str) -> None:
    """Raises where a tensor has not the shape beside it; broadcasting would hide it."""
    for name, (tensor, shape) in shapes.items():
        if tensor.shape != shape:
            raise ValueError(f"{name} must be {list(shape)} (got {list(tensor.shape)}); {remedy}")


class SoftLabelDistillation(WindowLoss):
    """Tempered divergence of the student's classes from the teacher's, beside a loss of labels.

    ``alpha T^2 KL(softmax(t / T) || softmax(s / T)) + (1 - alpha) base`` (Hinton et al. 2015,
    section 2). The reduction is that of ``base``, for both parts.
    """

    def __init__(
        self,
        base: nn.Module,
        teacher: Callable[[GraphBatch], Tensor],
        temperature: float = 4.0,
        alpha: float = 0.7,
    ) -> None:
        """Wraps ``base``.

        Args:
            base: A ``WindowLoss`` of the labels; it is given the graph as well.
            teacher: Logits ``[G, K]`` of a batch, on the batch's device.
            temperature: ``T``, positive; a high one shows how the wrong classes compare.
            alpha: Share of the teacher, in ``[0, 1]``.

        Raises:
            TypeError: The base is no ``WindowLoss``.
            ValueError: A number outside its range.
        """
        base = as_window_loss(base)
        super().__init__(base.reduction)
        if temperature <= 0:
            raise ValueError(f"temperature must be positive (got {temperature})")
        _require_share(alpha)
        self.base = base
        self._teacher = (teacher,)  # a module inside a tuple is no submodule
        self.temperature = temperature
        self.alpha = alpha
        self.last_hard = self.last_soft = torch.zeros(())

    def forward(self, logits: Tensor, y: Tensor, *, graph: GraphBatch | None = None) -> Tensor:
        """Loss ``[]`` (or ``[G]`` with reduction none) of ``logits [G, K]`` against ``y [G]``.

        Raises:
            ValueError: No graph is given, or the teacher's logits have another shape.
            FloatingPointError: The loss is not finite; names each component's value.
        """
        if graph is None:
            raise ValueError("a teacher reads the batch; call the loss with graph=batch")
        with torch.no_grad():
            wanted = self._teacher[0](graph)
        remedy = "teacher and student must tell the same classes of the same windows apart"
        _require_shapes({"the teacher's logits": (wanted, tuple(logits.shape))}, remedy)
        divergence = functional.kl_div(
            functional.log_softmax(logits / self.temperature, dim=-1),
            functional.log_softmax(wanted / self.temperature, dim=-1),
            reduction="none",
            log_target=True,
        ).sum(dim=-1)
        # The gradient of the divergence shrinks with T^2: the factor keeps the shares comparable.
        soft = self.reduced(divergence * self.temperature**2)
        hard = self.base(logits, y, graph=graph)
        total = self.alpha * soft + (1.0 - self.alpha) * hard
        self.last_hard, self.last_soft = hard.detach().mean(), soft.detach().mean()
        if self.reduction != "none":
            require_finite(total, self.components(), "distillation loss")
        return total

    def terms(self, loss: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The teacher's part, a mean over windows, and those of the base, which may weigh them."""
        hard = self.base.terms(self.last_hard, y)
        return [
            (self.alpha * self.last_soft, self.batch_weight(y)),
            *(((1.0 - self.alpha) * value, weight) for value, weight in hard),
        ]

    def set_epoch(self, epoch: int) -> None:
        """Passes the epoch on to the base."""
        self.base.set_epoch(epoch)

    def components(self) -> dict[str, Tensor]:
        """Base and teacher's part (``T^2`` in it) before ``alpha``, and the base's own, ``[]``.

        With reduction none they are means over the batch.
        """
        return {
            "hard_loss": self.last_hard,
            "soft_loss": self.last_soft,
            **self.base.components(),
        }

    def settings(self) -> dict[str, object]:
        """Plain values of this wrapper; base and teacher are apart."""
        return {"temperature": self.temperature, "alpha": self.alpha}


class FeatureDistillation(AutoencoderLoss):
    """An autoencoder matches the latent means and reconstructions of a teacher.

    ``alpha (latent_weight MSE(P mu_s, mu_t) + recon_weight MSE(recon_s, recon_t)) + (1 - alpha)
    base``, over the nodes that the student saw: the teacher saw every node, and the student cannot
    match it where a node was hidden. Means are matched, as two samples differ even where the
    posteriors agree. ``P`` is a linear map where the widths differ (the regressor of FitNets,
    Romero et al. 2015); it is a submodule, trained with the student.
    """

    def __init__(
        self,
        base: AutoencoderLoss,
        teacher: Callable[[GraphBatch], TeacherNodes],
        student_dim: int,
        teacher_dim: int,
        alpha: float = 0.7,
        latent_weight: float = 1.0,
        recon_weight: float = 1.0,
    ) -> None:
        """Wraps ``base``; ``P`` is drawn from torch's global generator, as a model's layers are.

        Args:
            base: The task's loss.
            teacher: Latent means ``[V, teacher_dim]`` and reconstructions ``[V, F]`` of the
                unmasked batch, on its device.
            student_dim: Latent width of the student.
            teacher_dim: Latent width of the teacher.
            alpha: Share of the teacher, in ``[0, 1]``.
            latent_weight: Weight of the latent means, not negative.
            recon_weight: Weight of the reconstructions, not negative.

        Raises:
            ValueError: A number outside its range.
        """
        super().__init__()
        _require_share(alpha)
        if min(latent_weight, recon_weight) < 0:
            raise ValueError(
                f"latent_weight and recon_weight must not be negative (got {latent_weight} and "
                f"{recon_weight})"
            )
        self.base = base
        self._teacher = (teacher,)  # a module inside a tuple is no submodule
        self.student_dim = student_dim
        self.teacher_dim = teacher_dim
        self.alpha = alpha
        self.latent_weight = latent_weight
        self.recon_weight = recon_weight
        self.projection: nn.Module = nn.Identity()
        if student_dim != teacher_dim:
            self.projection = nn.Linear(student_dim, teacher_dim)
        self.last_task = self.last_kd = torch.zeros(())

    def forward(
        self,
        outputs: VGAEOutputs,
        batch: GraphBatch,
        mask: Tensor | None = None,
        mu: Tensor | None = None,
    ) -> Tensor:
        """Loss ``[]`` of the outputs for ``batch``; the teacher's part is 0 where no node was seen.

        Args:
            outputs: What the student said, of masked features where ``mask`` is given.
            batch: The unmasked graphs.
            mask: True where a node was hidden ``[V]``; none hides none.
            mu: The student's mean latent ``[V, student_dim]``.

        Raises:
            ValueError: No ``mu``, or a shape that differs.
            FloatingPointError: The loss is not finite; names each component's value.
        """
        if mu is None:
            raise ValueError("distillation matches latent means; call the loss with mu [V, L]")
        with torch.no_grad():
            wanted = self._teacher[0](batch)
        nodes = batch.num_nodes
        _require_shapes(
            {
                "the student's mu": (mu, (nodes, self.student_dim)),
                "the teacher's mu": (wanted.mu, (nodes, self.teacher_dim)),
                "the teacher's reconstruction": (
                    wanted.reconstruction,
                    tuple(outputs.reconstruction.shape),
                ),
            },
            "give the latent widths of both models and the nodes of this batch",
        )
        seen = batch.x.new_ones(nodes) if mask is None else (~mask).to(batch.x.dtype)
        latent = _mean_error(self.projection(mu), wanted.mu, seen)
        recon = _mean_error(outputs.reconstruction, wanted.reconstruction, seen)
        kd = self.latent_weight * latent + self.recon_weight * recon
        task = self.base(outputs, batch, mask, mu)
        total = self.alpha * kd + (1.0 - self.alpha) * task
        self.last_task, self.last_kd = task.detach(), kd.detach()
        require_finite(total, self.components(), "distillation loss")
        return total

    def components(self) -> dict[str, Tensor]:
        """Task and teacher's part before ``alpha``, and those of the base ``[]``."""
        return {"task_loss": self.last_task, "kd_loss": self.last_kd, **self.base.components()}

    def settings(self) -> dict[str, object]:
        """Plain values of this wrapper; base and teacher are apart."""
        return {
            "student_dim": self.student_dim,
            "teacher_dim": self.teacher_dim,
            "alpha": self.alpha,
            "latent_weight": self.latent_weight,
            "recon_weight": self.recon_weight,
        }


def _mean_error(found: Tensor, wanted: Tensor, seen: Tensor) -> Tensor:
    """Mean squared error ``[]`` over the nodes where ``seen [V]`` is 1; 0 without one."""
    error = (found - wanted).square().mean(dim=-1)
    return (error * seen).sum() / seen.sum().clamp(min=1.0)
