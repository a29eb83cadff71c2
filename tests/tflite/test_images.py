"""Images: what a pixel is worth, and which class a folder is, is stated or refused."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.tflite.host.images import Scaling, load_images, load_samples, scaling_of

Image = pytest.importorskip("PIL.Image", reason="pillow is an extra")

UNIT = Scaling(0.0, 1.0)


@pytest.fixture
def takes(build):
    """The function that makes a model of one image input with two scores."""

    def model_with(shape=(1, 2, 3, 1), dtype="INT8", scale=(1 / 255,), zero_point=-128, scores=2):
        tensors = [
            build.Tensor("image", dtype, scale, zero_point, shape),
            build.Tensor("scores", shape=(shape[0], scores)),
        ]
        return build.model_of(tensors, [], [0], [1])

    return model_with


def picture(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8), mode).save(path)
    return path


GREY = np.array([[0, 1, 128], [254, 255, 7]])


def test_pixels_become_the_codes_of_their_real_values(takes, tmp_path):
    picture(tmp_path / "a.png", GREY)
    codes = load_images(tmp_path, takes(), UNIT).inputs[0]
    assert (codes.dtype, codes.shape) == (np.int8, (1, 2, 3, 1))
    assert np.array_equal(codes[0, :, :, 0], GREY - 128)
    both = takes(scale=(1 / 64,), zero_point=0)
    found = load_images(tmp_path, both, Scaling(-1.0, 1.0)).inputs[0][0, :, :, 0]
    assert np.array_equal(found, np.rint((GREY / 127.5 - 1) * 64)), "none of these is a tie"
    plain = takes(dtype="FLOAT32", scale=())
    floats = load_images(tmp_path, plain, Scaling(0.0, 255.0)).inputs[0]
    assert np.array_equal(floats[0, :, :, 0], GREY.astype(np.float32))


def test_pixels_that_are_codes_are_taken_as_they_are(takes, tmp_path):
    picture(tmp_path / "a.png", GREY)
    for dtype, less in (("UINT8", 0), ("INT8", 128)):
        model = takes(dtype=dtype, scale=(0.017,), zero_point=3)
        codes = load_images(tmp_path, model, Scaling(codes=True)).inputs[0]
        assert np.array_equal(codes[0, :, :, 0], GREY - less)
    with pytest.raises(EmbactError, match="codes: got an input of int16"):
        load_images(tmp_path, takes(dtype="INT16", zero_point=0), Scaling(codes=True))


def test_images_are_resized_and_given_the_inputs_channels(takes, tmp_path):
    colour = np.zeros((4, 8, 3), np.uint8)
    colour[:, 4:] = (255, 0, 255)
    picture(tmp_path / "a.png", colour)
    codes = load_images(tmp_path, takes((1, 4, 8, 3), "UINT8"), Scaling(codes=True)).inputs[0]
    assert np.array_equal(codes[0], colour)
    wide = load_images(tmp_path, takes((1, 2, 4, 3), "UINT8"), Scaling(codes=True)).inputs[0]
    assert wide.shape == (1, 2, 4, 3)
    assert np.array_equal(wide[0, 0, 0], (0, 0, 0))
    assert np.array_equal(wide[0, 1, 3], (255, 0, 255))
    grey = load_images(tmp_path, takes((1, 4, 8, 1), "UINT8"), Scaling(codes=True)).inputs[0]
    assert set(grey.ravel().tolist()) == {0, 105}, "0.299 red and 0.114 blue"


def test_subfolders_are_classes_in_the_order_of_their_names(takes, tmp_path):
    for name, values in {"cat": (1, 2), "ant": (3,)}.items():
        for value in values:
            picture(tmp_path / name / f"{value}.png", np.full((2, 3), value))
    data = load_images(tmp_path, takes(dtype="UINT8"), Scaling(codes=True))
    assert data.inputs[0][:, 0, 0, 0].tolist() == [3, 1, 2]
    assert data.labels.tolist() == [0, 1, 1]
    with pytest.raises(EmbactError, match="class folders: got 2; allowed: 3, one for each score"):
        load_images(tmp_path, takes(scores=3), UNIT)
    picture(tmp_path / "extra.png", GREY)
    with pytest.raises(EmbactError, match=r"beside class folders: got extra\.png"):
        load_images(tmp_path, takes(), UNIT)


def test_images_without_subfolders_have_no_labels(takes, tmp_path):
    for name in ("b.png", "a.png", ".hidden"):
        (tmp_path / name).write_bytes(b"") if name[0] == "." else picture(tmp_path / name, GREY)
    data = load_samples(tmp_path, takes(), UNIT)
    assert (data.samples, data.labels, data.targets) == (2, None, None)


def test_numbers_as_names_must_be_in_the_order_of_the_names(takes, tmp_path):
    for name in ("2", "10"):
        picture(tmp_path / "bad" / name / "a.png", GREY)
        picture(tmp_path / "good" / name.zfill(2) / f"{name}.png", np.full((2, 3), int(name)))
    with pytest.raises(EmbactError, match=r"class folders with numbers.*got 10, 2"):
        load_images(tmp_path / "bad", takes(), UNIT)
    data = load_images(tmp_path / "good", takes(dtype="UINT8"), Scaling(codes=True))
    assert data.inputs[0][:, 0, 0, 0].tolist() == [2, 10]


def test_without_a_scaling_the_error_says_what_the_input_holds(takes, tmp_path):
    picture(tmp_path / "a.png", GREY)
    with pytest.raises(EmbactError, match=r"not guessed: got no --image-range.*holds 0:1$"):
        load_images(tmp_path, takes(), None)
    with pytest.raises(EmbactError, match=r"such as --image-range 0:1 or -1:1$"):
        load_images(tmp_path, takes(dtype="FLOAT32", scale=()), None)


@pytest.mark.parametrize(
    ("text", "scaling"),
    [("0:1", UNIT), ("-1:1", Scaling(-1.0, 1.0)), ("codes", Scaling(codes=True))],
)
def test_scalings_are_read(text, scaling):
    assert scaling_of(text) == scaling


@pytest.mark.parametrize("text", ["", "1", "1:0", "0:0", "0:nan", "-inf:1", "a:b", "0:1:2"])
def test_scalings_that_mean_nothing_are_refused(text):
    with pytest.raises(EmbactError, match=r"--image-range.*LOW:HIGH, or codes"):
        scaling_of(text)


def broken(folder):
    """Files that are no images or not of 8-bit opaque pixels, by name."""
    whole = picture(folder / "whole.png", np.random.default_rng(0).integers(0, 256, (40, 40)))
    content = whole.read_bytes()
    whole.unlink()
    deep = Image.fromarray(np.full((2, 3), 40000, np.uint16))
    deep.save(folder / "deep.png")
    glass = np.full((2, 3, 4), 255, np.uint8)
    glass[0, 0, 3] = 254
    picture(folder / "glass.png", glass)
    files = {
        "cut.png": content[:200],
        "flipped.png": content[:60] + bytes([content[60] ^ 255]) + content[61:],
        "empty.jpg": b"",
        "notes.txt": b"not an image",
    }
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    return [*files, "deep.png", "glass.png"]


def test_a_file_that_is_no_plain_image_is_named(takes, tmp_path):
    names = broken(tmp_path)
    assert len(names) == 6
    for name in names:
        (tmp_path / "one").mkdir()
        (tmp_path / name).rename(tmp_path / "one" / name)
        with pytest.raises(EmbactError, match=name.replace(".", r"\.")) as error:
            load_images(tmp_path / "one", takes(), UNIT)
        assert "\n" not in str(error.value)
        (tmp_path / "one" / name).unlink()
        (tmp_path / "one").rmdir()


def test_an_opaque_image_with_an_alpha_channel_is_plain(takes, tmp_path):
    pixels = np.full((2, 3, 4), 255, np.uint8)
    pixels[..., :3] = 9
    picture(tmp_path / "a.png", pixels)
    data = load_images(tmp_path, takes((1, 2, 3, 3), "UINT8"), Scaling(codes=True))
    assert set(data.inputs[0].ravel().tolist()) == {9}


def test_an_image_far_too_large_is_refused(takes, tmp_path, monkeypatch):
    picture(tmp_path / "a.png", GREY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(EmbactError, match=r"a\.png: cannot read an image: got DecompressionBomb"):
        load_images(tmp_path, takes(), UNIT)


def test_folders_without_images_are_refused(takes, tmp_path):
    (tmp_path / "nothing").mkdir()
    for name in "ab":
        (tmp_path / "classes" / name).mkdir(parents=True)
    (tmp_path / "deep" / "a" / "more").mkdir(parents=True)
    (tmp_path / "deep" / "b").mkdir()
    for name, said in (("nothing", "no image"), ("classes", "no image"), ("deep", "a/more")):
        with pytest.raises(EmbactError, match=said):
            load_images(tmp_path / name, takes(), UNIT)


@pytest.mark.parametrize("shape", [(1, 6), (1, 2, 3, 2), (1, 2, 3, 4), (2, 3, 1)])
def test_a_model_that_takes_no_image_is_refused(takes, tmp_path, shape):
    picture(tmp_path / "a.png", GREY)
    with pytest.raises(EmbactError, match="a folder of images for this model"):
        load_images(tmp_path, takes(shape), UNIT)


def test_a_scaling_is_refused_for_data_without_pixels(takes, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 2, 3, 1)))
    assert load_samples(tmp_path / "d.npz", takes(), None).samples == 2
    with pytest.raises(EmbactError, match=r"--image-range: got an .npz file"):
        load_samples(tmp_path / "d.npz", takes(), UNIT)


def test_without_pillow_the_error_says_how_to_get_it(takes, tmp_path, monkeypatch):
    picture(tmp_path / "a.png", GREY)
    real = builtins.__import__

    def without(name, *rest):
        if name == "PIL":
            raise ImportError("No module named 'PIL'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EmbactError, match=r'pip install "embact\[images\]"'):
        load_images(tmp_path, takes(), UNIT)
