"""SAM's own predictor and mask generator, driven with a tiny random network."""

from pathlib import Path

import numpy as np
import pytest
import segment_anything
import torch
from safetensors.numpy import save
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.files import sha256, sha256_file
from mlproject.regions import RegionFinder, find_settings
from mlproject.regions.masks import encode
from mlproject.regions.sam import Sam, _network_of, _write, load_sam, read_embedding
from mlproject.regions.settings import CHECKPOINTS, Checkpoint, find_checkpoint
from tests.regions import tiny
from tests.regions.drawn import disc, paint, plain, rectangle

TWO = disc(60, 50, 25, (100, 160)) | rectangle(100, 30, 40, 40, (100, 160))
TEXTURED = np.clip(paint(TWO).astype(int) + np.random.default_rng(0).normal(0, 8, (100, 160, 1)), 0, 255)
IMAGE = TEXTURED.astype(np.uint8)
POINTS = [(60, 50), (120, 50)]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tiny.install(tmp_path, monkeypatch)


@pytest.fixture
def sam(checkpoint: Path, tmp_path: Path) -> Sam:
    return Sam(checkpoint=find_checkpoint(str(checkpoint)), root=tmp_path / "cache")


def test_masks_are_those_of_the_predictor_asked_point_by_point(sam: Sam) -> None:
    answers = list(sam.masks(IMAGE, POINTS))
    predictor = SamPredictor(load_sam(sam.checkpoint))
    predictor.set_image(IMAGE)
    for answer, point in zip(answers, POINTS, strict=True):
        masks, scores, _ = predictor.predict(np.array([point]), np.array([1]))
        assert answer.scores == pytest.approx(scores.tolist(), abs=1e-5)
        assert answer.chosen == scores.argmax()
        assert np.mean(answer.mask != masks[scores.argmax()]) < 0.001
        assert len(answer.logits_sha256) == 64


def test_an_image_larger_than_the_networks_input_is_decided_there_and_enlarged(sam: Sam) -> None:
    large = np.ascontiguousarray(IMAGE.repeat(4, 0).repeat(4, 1))
    (answer,) = sam.masks(large, [(240, 200)])
    predictor = SamPredictor(load_sam(sam.checkpoint))
    predictor.set_image(large)
    masks, scores, _ = predictor.predict(np.array([(240, 200)]), np.array([1]))
    assert answer.mask.shape == large.shape[:2]
    assert np.mean(answer.mask != masks[scores.argmax()]) < 0.01


def test_an_image_is_embedded_once_for_both_modes_and_every_process(sam: Sam) -> None:
    first = [answer.mask for answer in sam.masks(IMAGE, POINTS)]
    list(sam.proposals(IMAGE, POINTS))
    assert sam.predictor.n_embedded == 1
    again = Sam(checkpoint=sam.checkpoint, root=sam.root)
    assert all(np.array_equal(a, b.mask) for a, b in zip(first, again.masks(IMAGE, POINTS), strict=True))
    assert again.predictor.n_embedded == 0


def test_a_damaged_embedding_is_computed_again(sam: Sam) -> None:
    list(sam.masks(IMAGE, POINTS))
    (kept,) = sam.root.rglob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-3] ^= 1
    kept.write_bytes(content)
    list(sam.masks(IMAGE, POINTS))
    assert sam.predictor.n_embedded == 2


@pytest.mark.parametrize("moved", ["another image", "another checkpoint"])
def test_an_embedding_of_another_image_or_checkpoint_is_refused(tmp_path: Path, moved: str) -> None:
    path = tmp_path / "sam-0123" / "image.safetensors"
    _write(path, np.ones((1, 2), np.float32))
    assert np.array_equal(read_embedding(path), np.ones((1, 2)))
    other = path.with_name("x.safetensors") if "image" in moved else tmp_path / "sam-4567" / path.name
    other.parent.mkdir(exist_ok=True)
    path.rename(other)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        read_embedding(other)
    content = np.ones((1, 2), np.float32)  # as earlier versions wrote them
    other.write_bytes(save({"embedding": content}, {"sha256": sha256(content.tobytes())}))
    assert np.array_equal(read_embedding(other), content)


def test_proposals_are_the_generators_best_that_hold_a_point(tmp_path, monkeypatch) -> None:
    path = tiny.install(tmp_path, monkeypatch, sure=True)
    sam = Sam(checkpoint=find_checkpoint(str(path)), root=tmp_path / "cache")
    found = SamAutomaticMaskGenerator(load_sam(sam.checkpoint)).generate(IMAGE)
    assert found
    points = [(x, y) for y in range(10, 100, 20) for x in range(10, 160, 20)]
    answers = list(sam.proposals(IMAGE, points))
    assert answers
    for answer in answers:
        x, y = points[answer.prompt]
        best = max(r["predicted_iou"] for r in found if r["segmentation"][y, x])
        assert answer.mask[y, x]
        assert answer.scores == (pytest.approx(best),)
    assert len({encode(answer.mask) for answer in answers}) == len(answers)


def test_no_proposal_means_an_empty_region(checkpoint: Path, tmp_path: Path) -> None:
    settings = find_settings("sam-auto", checkpoint=str(checkpoint))
    found = RegionFinder(settings=settings, root=tmp_path).find(IMAGE)
    assert (found.facts["empty"], found.objects) == (True, ())
    assert found.prompts


def test_a_region_by_sam_is_the_union_of_the_best_masks(checkpoint: Path, tmp_path: Path) -> None:
    settings = find_settings("sam", checkpoint=str(checkpoint))
    found = RegionFinder(settings=settings, root=tmp_path).find(IMAGE)
    sam = Sam(checkpoint=find_checkpoint(str(checkpoint)), root=tmp_path)
    points = [(x, y) for _, x, y in found.prompts]
    union = np.any([answer.mask for answer in sam.masks(IMAGE, points)], axis=0)
    assert np.array_equal(found.mask, union)
    facts = found.facts
    assert facts["checkpoint_sha256"] == find_checkpoint(str(checkpoint)).sha256
    assert facts["predicted_iou"] == pytest.approx(
        np.mean([one.scores[one.chosen] for one in found.objects]), abs=1e-5
    )
    assert facts["iou_otsu_sam"] != ""


def test_a_flat_image_still_gets_a_mask_from_its_centre(checkpoint: Path, tmp_path: Path) -> None:
    found = RegionFinder(settings=find_settings("sam", checkpoint=str(checkpoint)), root=tmp_path).find(
        plain(99, (60, 80))
    )
    assert (found.facts["fallback"], found.prompts) == ("centre", (("fallback", 39, 29),))
    assert len(found.objects) == 1


@pytest.mark.parametrize("image", [IMAGE.astype(np.uint16), IMAGE[..., :2], IMAGE[..., 0]])
def test_anything_but_rgb_bytes_is_refused_before_the_network(sam: Sam, image: np.ndarray) -> None:
    with pytest.raises(BadInput, match="must be uint8 RGB"):
        sam.predictor.set_image(image)


def test_a_checkpoint_that_changed_by_a_bit_is_refused(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"none of the published ones: download .*vit_b:"):
        find_checkpoint(str(checkpoint))


def test_without_a_checkpoint_one_line_says_where_to_get_it() -> None:
    with pytest.raises(
        WrongUse, match=r"download https://.*sam_vit_b_01ec64\.pth .* pass checkpoint="
    ) as caught:
        find_settings("sam")
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"no checkpoint at .*nowhere\.pth"):
        find_checkpoint("nowhere.pth")


def test_a_known_file_that_does_not_fit_is_refused(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_checkpoint(str(checkpoint))
    monkeypatch.setitem(segment_anything.sam_model_registry, "tiny", other_network)
    with pytest.raises(BadInput, match="does not fit tiny"):
        load_sam(found)


def test_blobs_need_no_checkpoint_and_methods_differ_in_their_digest(checkpoint: Path) -> None:
    known = [find_settings("blobs"), find_settings("blobs", limits="seed")]
    known += [find_settings(method, checkpoint=str(checkpoint)) for method in ("sam", "sam-auto")]
    assert len({one.digest for one in known}) == 4
    assert known[0].checkpoint is None


@pytest.mark.parametrize(
    ("name", "expected"), [("vit_b", 93_735_472), ("vit_l", 312_342_832), ("vit_h", 641_090_608)]
)
def test_the_published_networks_have_the_published_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        network = segment_anything.sam_model_registry[name]()
    assert sum(p.numel() for p in network.parameters()) == expected
    file, digest = CHECKPOINTS[name]
    assert file.startswith(f"sam_{name}_")
    assert len(digest) == 64


def other_network() -> torch.nn.Module:
    return torch.nn.ParameterDict({"another": torch.nn.Parameter(torch.ones(1))})


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The weights of a small SAM that no table knows."""
    torch.manual_seed(1)
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": {f"module.{n}": v for n, v in tiny.build().state_dict().items()}}, path)
    return path


def test_a_small_network_is_built_from_the_sizes_in_its_checkpoint(trained: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    predictor = SamPredictor(tiny.build())
    predictor.set_image(IMAGE)
    sam = Sam(checkpoint=find_checkpoint(f"custom/2:{trained}"), root=tmp_path / "cache")
    for answer, point in zip(sam.masks(IMAGE, POINTS), POINTS, strict=True):
        masks, scores, _ = predictor.predict(np.array([point]), np.array([1]))
        assert answer.scores == pytest.approx(scores.tolist(), abs=1e-5)
        assert np.mean(answer.mask != masks[scores.argmax()]) < 0.001


def test_the_sizes_of_the_published_network_are_read_from_its_tensors() -> None:
    with torch.device("meta"):
        published = segment_anything.sam_model_registry["vit_b"]()
        checkpoint = Checkpoint(path=Path("x"), model="custom", sha256="0", published=False)
        built = _network_of(published.state_dict(), checkpoint)
    assert repr(built) == repr(published)
    windows = [[block.window_size for block in net.image_encoder.blocks] for net in (built, published)]
    heads = [[block.attn.num_heads for block in net.image_encoder.blocks] for net in (built, published)]
    assert windows[0] == windows[1]
    assert heads[0] == heads[1]


def test_a_checkpoint_of_ones_own_is_identified_by_digest_and_heads(checkpoint: Path, trained: Path) -> None:
    named = [find_checkpoint(f"{network}:{trained}") for network in ("vit_b", "custom", "custom/2")]
    assert [item.sha256 for item in named] == [sha256_file(trained)] * 3
    assert len({item.identity for item in named[1:]}) == 2
    for item in named:
        assert find_checkpoint(item.spec) == item  # a cell keeps this text
        assert item.sha256[:8] in item.label
    methods = [find_settings("sam", checkpoint=spec) for spec in (str(checkpoint), f"custom/2:{trained}")]
    assert len({settings.digest for settings in methods}) == 2


def test_a_published_checkpoint_stays_published_under_its_networks_name(checkpoint: Path) -> None:
    assert find_checkpoint(f"tiny:{checkpoint}") == find_checkpoint(str(checkpoint))
    with pytest.raises(BadInput, match="is the published tiny, not vit_b"):
        find_checkpoint(f"vit_b:{checkpoint}")


def test_masks_of_a_checkpoint_of_ones_own_name_it(trained: Path, tmp_path: Path) -> None:
    settings = find_settings("sam", checkpoint=f"custom/2:{trained}")
    facts = RegionFinder(settings=settings, root=tmp_path).find(IMAGE).facts
    assert facts["checkpoint_sha256"] == sha256_file(trained)
    assert facts["method"] == f"sam custom {sha256_file(trained)[:8]}"


@pytest.mark.parametrize(
    ("spec", "content", "message"),
    [
        ("custom/3", tiny.build().state_dict(), "has these sizes with 3 attention heads"),
        ("custom", {"weight": torch.ones(2)}, "is no network of segment_anything: it has no 'image_encoder"),
        ("custom", torch.nn.Linear(2, 2), "holds a whole object .*save its state_dict alone"),
        ("custom/2", {"model": tiny.build().state_dict(), "x": Path("x")}, "'model' .*its state_dict"),
    ],
)  # fmt: skip
def test_what_is_no_network_of_ones_own_is_refused_in_one_line(tmp_path, spec, content, message) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=message) as caught:
        load_sam(find_checkpoint(f"{spec}:{tmp_path / 'w.pth'}"))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_size_does_not_fit_the_network_it_is_named_for(trained, monkeypatch) -> None:
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", other_network)
    with pytest.raises(BadInput, match=r"does not fit vit_b .*: 1 of its 1 tensors are missing"):
        load_sam(find_checkpoint(f"vit_b:{trained}"))
