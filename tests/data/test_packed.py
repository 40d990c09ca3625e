"""The packed dataset: selection, joining, storage and its cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from traffic import random_graphs, random_messages

from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.vocabulary import UNK_INDEX, Vocabulary


def assert_same(a: PackedGraphs, b: PackedGraphs) -> None:
    assert a.num_ids == b.num_ids
    for name, tensor in a.tensors().items():
        torch.testing.assert_close(tensor, b.tensors()[name], rtol=0, atol=0)


def storage_bytes(graphs: PackedGraphs) -> int:
    """Bytes that the tensors keep alive, whatever part of them is seen."""
    storages = (tensor.untyped_storage() for tensor in graphs.tensors().values())
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_dtypes_and_shapes() -> None:
    graphs = random_graphs(0, 7)
    v, e = int(graphs.node_offsets[-1]), int(graphs.edge_offsets[-1])
    shapes = {name: (tuple(t.shape), t.dtype) for name, t in graphs.tensors().items()}
    assert shapes == {
        "x": ((v, 35), torch.float32),
        "node_id": ((v,), torch.int64),
        "arbitration_id": ((v,), torch.int64),
        "edge_index": ((2, e), torch.int64),
        "edge_attr": ((e, 11), torch.float32),
        "node_offsets": ((8,), torch.int64),
        "edge_offsets": ((8,), torch.int64),
        "y": ((7,), torch.int64),
        "attack_type": ((7,), torch.int64),
        "capture": ((7,), torch.int64),
        "first_message": ((7,), torch.int64),
        "start_ns": ((7,), torch.int64),
        "span_ns": ((7,), torch.int64),
    }
    assert e == 7 * 19


def test_an_index_gives_a_graph_that_is_whole() -> None:
    graphs = random_graphs(1, 9)
    for i, graph in enumerate(graphs):
        assert graph.validate()
        assert graph.num_nodes == int(graphs.num_nodes[i])
        assert graph.edge_index.max() < graph.num_nodes
    assert torch.equal(graphs[-1].x, graphs[8].x)
    with pytest.raises(IndexError, match="graph 9 of 9"):
        graphs[9]


def test_select_equals_taking_graphs_one_by_one() -> None:
    graphs = random_graphs(2, 12)
    index = torch.tensor([7, 0, 11, 7])
    chosen = graphs.select(index)
    assert len(chosen) == 4
    for got, i in zip(chosen, index.tolist(), strict=True):
        want = graphs[i]
        assert got.keys() == want.keys()
        assert all(torch.equal(got[key], want[key]) for key in want.keys())  # noqa: SIM118
    assert len(graphs.select(torch.empty(0, dtype=torch.int64))) == 0


def test_concatenate_keeps_graphs_and_numbers_captures() -> None:
    parts = [random_graphs(3, 4), random_graphs(4, 0), random_graphs(5, 3)]
    joined = concatenate(parts)
    assert joined.capture.tolist() == [0] * 4 + [2] * 3
    for part, start in zip(parts, (0, 4, 4), strict=True):
        for i, want in enumerate(part):
            got = joined[start + i]
            for name in ("x", "arbitration_id", "edge_index", "edge_attr", "y", "first_message"):
                assert torch.equal(got[name], want[name])
    assert concatenate([joined, joined]).capture.unique().tolist() == [0, 2, 3, 5]
    with pytest.raises(ValueError, match="nothing"):
        concatenate([])


def test_vocabularies_map_arbitration_ids() -> None:
    messages = random_messages(np.random.default_rng(6), 400)
    graphs = build_graphs(messages, 20, 20)
    own = Vocabulary.from_ids(graphs.arbitration_id)
    assert graphs.num_ids == own.num_ids
    assert torch.equal(graphs.node_id, own.encode(graphs.arbitration_id))
    some = Vocabulary(ids=own.ids[::2])
    assert_same(graphs.with_vocabulary(some), build_graphs(messages, 20, 20, some))
    unknown = ~torch.isin(graphs.arbitration_id, torch.tensor(some.ids))
    assert torch.equal(graphs.with_vocabulary(some).node_id == UNK_INDEX, unknown)
    assert_same(concatenate([graphs], some), graphs.with_vocabulary(some))


@pytest.mark.parametrize("num_windows", [0, 5])
def test_round_trip_through_a_file(tmp_path: Path, num_windows: int) -> None:
    graphs = random_graphs(7, num_windows)
    graphs.save(tmp_path / "g.safetensors")
    assert_same(PackedGraphs.load(tmp_path / "g.safetensors"), graphs)
    assert_same(PackedGraphs.from_tensors(graphs.tensors(), graphs.num_ids), graphs)


def test_costs_little_more_than_its_tensors(tmp_path: Path) -> None:
    graphs = random_graphs(8, 300)
    sizes = sum(t.numel() * t.element_size() for t in graphs.tensors().values())
    assert graphs.nbytes == sizes
    graphs.save(tmp_path / "g.safetensors")
    assert (tmp_path / "g.safetensors").stat().st_size <= 1.2 * sizes
    assert storage_bytes(graphs) <= 1.2 * sizes
    assert storage_bytes(concatenate([graphs, graphs])) <= 1.2 * 2 * sizes


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's list of mappings")
def test_loading_maps_the_file_and_reads_no_page(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    random_graphs(9, 3000).save(path)
    graphs = PackedGraphs.load(path)
    mapped, resident = mapping_of(path)
    assert mapped >= graphs.nbytes
    assert resident < 0.25 * mapped
    graphs.x.sum()
    assert mapping_of(path)[1] > resident


def mapping_of(path: Path) -> tuple[int, int]:
    """Mapped and resident bytes of a file in this process."""
    size = resident = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        word, *rest = line.split()
        if "-" in word and not word.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and word == "Size:":
            size += int(rest[0]) * 1024
        elif inside and word == "Rss:":
            resident += int(rest[0]) * 1024
    return size, resident


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not a file of packed graphs"):
        PackedGraphs.load(tmp_path / "other.safetensors")
