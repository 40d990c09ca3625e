"""A model as one file of tensors and plain values, and back.

One safetensors file holds the state and a header of class path, settings, loss and threshold. A
Lightning ``.ckpt`` that a user names is read with ``weights_only=True``. Nothing that runs code is
ever loaded. A loss among ``LOSSES`` is restored with its settings; a loss of a class of one's own
has no plain form, and the loaded model has its type's default loss instead.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphids.core.losses import build_loss
from graphids.core.models.evaluation import ScoringModule
from graphids.core.models.registry import class_path, resolve_model

LOSS_PREFIX = "loss_fn."
COMPILED = "_orig_mod."
AGAIN = "copy it again, or train and save the model again"


class LateSettings:
    """A model with settings that are no arguments of its constructor but attributes.

    They stand among its hyper-parameters, and loading sets them once the model is made.
    """

    late_settings: ClassVar[tuple[str, ...]]
    """Names of the attributes."""


def strip_orig_mod_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """``state`` without the ``_orig_mod.`` that compiling puts into keys, wherever it stands."""
    return {key.replace(COMPILED, ""): value for key, value in state.items()}


def checkpoint_tensors(
    model: ScoringModule, *, test_threshold: float | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A model's tensors and its header, apart from any file.

    Args:
        model: A built model of a registered class.
        test_threshold: Threshold to record; none takes the model's own, where it has one.

    Returns:
        State by key (contiguous, on the CPU, without the loss) and the header's fields as JSON
        texts.

    Raises:
        ValueError: The class is not registered.
        TypeError: A setting is not a plain value.
    """
    path = class_path(type(model))
    resolve_model(path)
    threshold = model.test_threshold if test_threshold is None else test_threshold
    state = strip_orig_mod_prefix(model.state_dict())
    tensors = {
        key: value.detach().to("cpu").contiguous()
        for key, value in state.items()
        if not key.startswith(LOSS_PREFIX)
    }
    header = {
        "class_path": path,
        "hyper_parameters": json.dumps(dict(model.hparams), sort_keys=True),
        "test_threshold": json.dumps(threshold),
    }
    loss = model.loss_description()
    if loss is not None:
        header["loss"] = json.dumps(loss, sort_keys=True)
    return tensors, header


def model_from_checkpoint_tensors(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    model_type: str | None = None,
) -> ScoringModule:
    """The model that ``checkpoint_tensors`` described, in evaluation mode, on the CPU.

    Raises:
        KeyError: The header has no class path.
        ValueError: The header is damaged, or the class path is not registered or of another model
            type.
        RuntimeError: The state does not fit the settings.
    """
    return _rebuild(_from_header(metadata, "the checkpoint"), tensors, model_type)


def save_checkpoint(
    model: ScoringModule, path: Path | str, *, test_threshold: float | None = None
) -> None:
    """Writes one safetensors file.

    Args:
        model: A built model of a registered class.
        path: File to write.
        test_threshold: Threshold to record; none takes the model's own, where it has one.
    """
    tensors, header = checkpoint_tensors(model, test_threshold=test_threshold)
    save_file(tensors, str(path), metadata=header)


def safe_load_checkpoint(
    model_type: str | None,
    ckpt_path: Path | str,
    *,
    map_location: torch.device | str = "cpu",
) -> ScoringModule:
    """The model in a checkpoint, in evaluation mode, on ``map_location``.

    Args:
        model_type: What the file must hold, such as ``gat``; none accepts any registered model.
        ckpt_path: A ``.safetensors`` file, or a Lightning ``.ckpt``. A ``.sha256`` file beside it
            is checked.
        map_location: Device of the model.

    Raises:
        FileNotFoundError: There is no such file.
        KeyError: The file names no class.
        ValueError: Wrong digest, damaged or incomplete content, unregistered class or another model
            type.
        RuntimeError: The state does not fit the settings.
    """
    path = Path(ckpt_path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train the model first")
    _verify_digest(path)
    if path.suffix == ".safetensors":
        tensors: Mapping[str, Tensor]
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); {AGAIN}") from error
        content = _from_header(metadata, str(path))
    else:
        content, tensors = _from_lightning(path)
    return _rebuild(content, tensors, model_type).to(map_location)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Content:
    """What a checkpoint says of its model, apart from the state."""

    where: str
    """The file, for messages."""
    class_path: str
    """Registered path of the class."""
    settings: Mapping[str, Any]
    """Arguments of its constructor."""
    threshold: float | None
    """Threshold from validation."""
    loss: Mapping[str, Any] | None
    """Name and settings of the loss; none for the model's default."""


def _content(fields: Mapping[str, Any], where: str) -> _Content:
    """The decoded fields of a header or of a Lightning checkpoint, their kinds checked."""
    if "class_path" not in fields:
        raise KeyError(f"{where} has no class_path; {AGAIN}")
    kinds = {
        "class_path": str,
        "hyper_parameters": Mapping,
        "test_threshold": float | int | None,
        "loss": Mapping | None,
    }
    wrong = [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
    if wrong:
        found = ", ".join(f"{name} {fields.get(name)!r:.40}" for name in wrong)
        raise ValueError(f"{where} is incomplete or damaged: it has {found}; {AGAIN}")
    return _Content(
        where=where,
        class_path=fields["class_path"],
        settings=fields["hyper_parameters"],
        threshold=fields.get("test_threshold"),
        loss=fields.get("loss"),
    )


def _from_header(metadata: Mapping[str, str], where: str) -> _Content:
    """What a header of JSON texts says."""
    fields: dict[str, Any] = dict(metadata)
    for name in fields.keys() & {"hyper_parameters", "test_threshold", "loss"}:
        try:
            fields[name] = json.loads(metadata[name])
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} has a damaged {name} ({error}); {AGAIN}") from error
    return _content(fields, where)


def _from_lightning(path: Path) -> tuple[_Content, Mapping[str, Tensor]]:
    """What a file says that ``Trainer.save_checkpoint`` wrote, and its state."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is damaged or holds more than tensors and plain values: {error}"
        ) from error
    except Exception as error:  # whatever a reader of pickles makes of foreign bytes
        raise ValueError(f"{path} is damaged ({error!r}); {AGAIN}") from error
    fields = content if isinstance(content, dict) else {}
    if not fields:
        raise ValueError(f"{path} holds a {type(content).__name__}, not a checkpoint; {AGAIN}")
    found = _content(fields, str(path))
    if "state_dict" not in fields:
        raise ValueError(f"{path} is incomplete: it has no state_dict; {AGAIN}")
    return found, fields["state_dict"]


def _rebuild(
    content: _Content, state: Mapping[str, Tensor], model_type: str | None
) -> ScoringModule:
    """A model of the registered class with exactly this state."""
    cls = resolve_model(content.class_path, model_type)
    settings = dict(content.settings)
    names = cls.late_settings if issubclass(cls, LateSettings) else ()
    late = {name: settings.pop(name) for name in names if name in settings}
    try:
        loss = {} if content.loss is None else {"loss_fn": build_loss(**content.loss)}
        model = cls(**settings, **loss)
        for name, value in late.items():
            setattr(model, name, value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{content.where} has settings that {content.class_path} does not take: {error}"
        ) from error
    assert isinstance(model, ScoringModule), content.class_path
    # A compiled model prefixes its own keys, and the loss is rebuilt rather than loaded.
    own = {key.replace(COMPILED, ""): key for key in model.state_dict()}
    kept = {
        own.get(key, key): value
        for key, value in strip_orig_mod_prefix(state).items()
        if not key.startswith(LOSS_PREFIX)
    }
    missing, unexpected = model.load_state_dict(kept, strict=False)
    missing = [key for key in missing if not key.startswith(LOSS_PREFIX)]
    if missing or unexpected:
        raise RuntimeError(
            f"the state in {content.where} does not fit the settings of {content.class_path}: "
            f"missing {missing}, unexpected {unexpected}"
        )
    model.test_threshold = content.threshold
    return model.eval()


def _verify_digest(path: Path) -> None:
    """Compares the file with the digest beside it, where there is one."""
    sidecar = path.with_name(path.name + ".sha256")
    if not sidecar.is_file():
        return
    words = sidecar.read_text().split()
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not words or words[0] != found:
        raise ValueError(
            f"{path} has sha256 {found}, but {sidecar.name} says {words[:1]}; copy it again"
        )
