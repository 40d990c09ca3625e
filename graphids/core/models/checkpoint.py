"""A model as one file of tensors and plain values, and back.

One safetensors file holds the state and a header of class path, settings and threshold. A Lightning
``.ckpt`` that a user names is read with ``weights_only=True``. Nothing that runs code is ever
loaded.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphids.core.models.evaluation import ScoringModule
from graphids.core.models.registry import class_path, resolve_model

LOSS_PREFIX = "loss_fn."
COMPILED = "_orig_mod."


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
        ValueError: The class path is not registered or of another model type.
        RuntimeError: The state does not fit the settings.
    """
    if "class_path" not in metadata:
        raise KeyError("the checkpoint has no class_path; train and save the model again")
    settings = json.loads(metadata["hyper_parameters"])
    threshold = json.loads(metadata.get("test_threshold", "null"))
    return _rebuild(metadata["class_path"], settings, tensors, threshold, model_type)


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
        ValueError: Wrong digest, unreadable content, unregistered class or another model type.
        RuntimeError: The state does not fit the settings.
    """
    path = Path(ckpt_path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train the model first")
    _verify_digest(path)
    if path.suffix == ".safetensors":
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model = model_from_checkpoint_tensors(tensors, metadata, model_type=model_type)
    else:
        model = _from_lightning(path, model_type)
    return model.to(map_location)


def _from_lightning(path: Path, model_type: str | None) -> ScoringModule:
    """The model in a file that ``Trainer.save_checkpoint`` wrote."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors and plain values: {error}") from error
    if "class_path" not in content:
        raise KeyError(f"{path} has no class_path; train and save the model again")
    return _rebuild(
        content["class_path"],
        content["hyper_parameters"],
        content["state_dict"],
        content.get("test_threshold"),
        model_type,
    )


def _rebuild(
    path: str,
    settings: Mapping[str, Any],
    state: Mapping[str, Tensor],
    threshold: float | None,
    model_type: str | None,
) -> ScoringModule:
    """A model of the registered class with exactly this state."""
    model = resolve_model(path, model_type)(**settings)
    assert isinstance(model, ScoringModule), path
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
            f"the checkpoint of {path} does not fit its settings: "
            f"missing {missing}, unexpected {unexpected}"
        )
    model.test_threshold = threshold
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
