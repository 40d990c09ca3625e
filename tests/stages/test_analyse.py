"""Analyses of trained detectors: what they hand on, and that they say the same each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from stage_runs import AUTOENCODE, CLASSIFY, FIT, TINY_GAT, run

from graphids.core.models.autoencoder import DGIConfig
from graphids.data.splits import Part
from graphids.stages import Autoencode, Classify, Prepare
from graphids.stages.analyse import Attention, Embeddings, Landscape, Similarity
from graphids.stages.dataset import Prepared
from graphids.stages.detect import load_detector
from graphids.stages.handoff import Handoff, write_handoff
from graphids.stages.protocol import Stage

DGI = Autoencode(model=DGIConfig(hidden_dims=(8,), latent_dim=4, heads=2), fit=FIT)
OTHER = Prepare(window=50, stride=50)
SMALL = {"points": 3, "windows": 20}


@pytest.fixture(scope="module")
def contrasted(prepared: Handoff) -> Handoff:
    return run(DGI, {"data": prepared})


@pytest.fixture(scope="module")
def looks(
    prepared: Handoff, classified: Handoff, autoencoded: Handoff, contrasted: Handoff
) -> Mapping[str, tuple[Stage, Mapping[str, Handoff]]]:
    """Each kind of analysis of each kind of detector, with its inputs."""
    of = {"gat": classified, "vgae": autoencoded, "dgi": contrasted}
    stages = {"gat": CLASSIFY, "vgae": AUTOENCODE, "dgi": DGI}
    found: dict[str, tuple[Stage, Mapping[str, Handoff]]] = {}
    for name, handoff in of.items():
        stage: Any = stages[name]
        inputs = {"data": prepared, "detector": handoff}
        found[f"embeddings {name}"] = (Embeddings(detector=stage, windows=140), inputs)
        found[f"landscape {name}"] = (Landscape(detector=stage, **SMALL), inputs)
        pair = {"data": prepared, "teacher": classified, "student": handoff}
        similarity = Similarity(teacher=CLASSIFY, student=stage, windows=60)
        found[f"similarity {name}"] = (similarity, pair)
    attention = {"data": prepared, "classifier": classified}
    found["attention gat"] = (Attention(classifier=CLASSIFY, windows=8), attention)
    return found


def only(handoff: Handoff) -> Mapping[str, torch.Tensor]:
    (file,) = handoff.files.values()
    return file.tensors


def test_an_analysis_leaves_numbers_and_no_metrics_and_says_the_same_again(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]], tmp_path: Path
) -> None:
    for name, (stage, inputs) in looks.items():
        first, again = run(stage, inputs), run(stage, inputs)
        assert list(first.files) == [stage.name], name
        assert first.metrics is None
        assert first.scores is None
        folder = tmp_path / name
        folder.mkdir()
        write_handoff(first, folder)
        read = load_file(folder / f"{stage.name}.safetensors")
        for key, values in only(first).items():
            assert torch.equal(values, only(again)[key]), (name, key)
            assert (read[key] == values.numpy()).all(), (name, key)
        assert first.meta == again.meta


def test_an_analysis_reads_what_its_detector_was_trained_on(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]],
) -> None:
    for stage, inputs in looks.values():
        assert set(stage.upstream()) == set(inputs)
        assert stage.upstream()["data"] == CLASSIFY.data


def test_every_split_has_its_windows(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]], prepared: Handoff
) -> None:
    stage, inputs = looks["embeddings gat"]
    found = run(stage, inputs)
    tensors, meta, data = only(found), found.meta, Prepared.of(prepared)
    assert meta["splits"] == ["validation", *data.tests]
    assert tensors["split"].bincount().tolist() == [20] * len(meta["splits"])
    assert tensors["xy"].shape == (len(tensors["label"]), 2)
    assert ((tensors["attack_type"] > 0) == (tensors["label"] == 1)).all()
    assert meta["silhouettes"]["test_05_suppress"] is None
    whole = run(Embeddings(detector=CLASSIFY, windows=10**6), inputs)
    held = len(data.index(Part.CALIBRATION)) + sum(map(len, data.tests.values()))
    assert len(only(whole)["label"]) == held


def test_a_detector_resembles_itself_layer_by_layer(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]],
) -> None:
    stage, inputs = looks["similarity gat"]
    found = run(stage, inputs)
    cka = only(found)["cka"]
    assert found.meta["teacher_layers"] == found.meta["student_layers"]
    assert cka.shape == (len(found.meta["teacher_layers"]),) * 2
    torch.testing.assert_close(cka.diagonal(), torch.ones(len(cka), dtype=torch.float64))
    torch.testing.assert_close(cka, cka.T)


def test_layers_of_different_kinds_are_all_compared(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]],
) -> None:
    found = run(*looks["similarity vgae"])
    shape = len(found.meta["teacher_layers"]), len(found.meta["student_layers"])
    assert only(found)["cka"].shape == shape
    assert found.meta["student_layers"][-1] == "latent"
    assert only(found)["cka"].isfinite().all()


@pytest.mark.parametrize("conv", ["gat", "gatv2", "transformer", "gps"])
def test_every_convolution_tells_its_attention(prepared: Handoff, conv: str) -> None:
    stage = Classify(model=replace(TINY_GAT, conv=conv, layers=2), fit=FIT)
    detector = run(stage, {"data": prepared})
    inputs = {"data": prepared, "classifier": detector}
    found = run(Attention(classifier=stage, windows=6), inputs)
    tensors = only(found)
    assert found.meta["conv"] == conv
    assert tensors["label"].tolist() == [1, 0] * 3
    layers, edges, heads = tensors["weights"].shape
    assert (layers, heads) == (2, 2)
    assert tensors["edge_ptr"][-1] == edges == tensors["edge_index"].shape[1]
    for window in range(6):
        first, end = tensors["edge_ptr"][window : window + 2].tolist()
        target = tensors["edge_index"][1, first:end]
        total = torch.zeros(layers, int(tensors["node_ptr"].diff()[window]), heads)
        total.index_add_(1, target, tensors["weights"][:, first:end])
        seen = target.unique()
        torch.testing.assert_close(total[:, seen], torch.ones(layers, len(seen), heads))


def test_nodes_of_a_window_have_the_ids_that_stood_on_the_bus(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]], prepared: Handoff
) -> None:
    stage, inputs = looks["attention gat"]
    found = run(stage, inputs)
    tensors, data = only(found), Prepared.of(prepared)
    model = load_detector(inputs["classifier"])
    kinds = set()
    for window, split in enumerate(tensors["split"].tolist()):
        graphs = data.tests[found.meta["splits"][split]]
        places = graphs.first_message, graphs.capture, graphs.y
        names = "first_message", "capture", "label"
        same = [p == tensors[name][window] for p, name in zip(places, names, strict=True)]
        (index,) = torch.nonzero(torch.stack(same).all(dim=0)).flatten()
        nodes = slice(*tensors["node_ptr"][window : window + 2].tolist())
        assert torch.equal(tensors["arbitration_id"][nodes], graphs[int(index)].arbitration_id)
        score = model.predict_scores(graphs[int(index)])
        torch.testing.assert_close(score, tensors["score"][window : window + 1])
        kinds.add(int(tensors["attack_type"][window]))
    assert len(kinds) > 2, "attack types take turns"


def test_without_attacks_benign_windows_are_looked_at(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]], prepared: Handoff
) -> None:
    stage, inputs = looks["attention gat"]
    alone = {"tests": ["test_05_suppress"]}
    quiet = replace(prepared, meta={**prepared.meta, **alone})
    found = run(stage, {**inputs, "data": quiet})
    assert only(found)["label"].tolist() == [0] * 4


def test_the_middle_of_a_landscape_is_the_loss(
    looks: Mapping[str, tuple[Stage, Mapping[str, Handoff]]],
) -> None:
    for kind in ("gat", "vgae", "dgi"):
        found = run(*looks[f"landscape {kind}"])
        loss = only(found)["loss"]
        assert loss.shape == (3, 3)
        assert float(loss[1, 1]) == found.meta["centre"]
        assert loss.unique().numel() > 3


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Embeddings(detector=CLASSIFY, method="umap"), "method must be one of pca, tsne"),
        (lambda: Landscape(detector=CLASSIFY, points=10), "points must be odd"),
        (lambda: Attention(classifier=CLASSIFY, windows=51), "between 2 and 50"),
        (lambda: Similarity(teacher=CLASSIFY, student=AUTOENCODE, windows=3), "at least 4"),
        (
            lambda: Similarity(teacher=CLASSIFY, student=Autoencode(data=OTHER)),
            "same prepared dataset",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], Stage], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make()
