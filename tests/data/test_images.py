import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mlproject.data import images
from mlproject.data.images import BadImage, check, decode, decode_map, read_bytes

from .pictures import encoded, palette_png, picture, png, tiff

PHOTO = picture(size=(64, 48))
TRUNCATED = [
    pytest.param(encoded(PHOTO, kind)[: -len(encoded(PHOTO, kind)) // 3], id=kind)
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
]
CORNER = np.zeros((4, 6, 3), np.uint8)
CORNER[0, 0] = (255, 0, 0)  # red at the upper left of a picture 6 wide and 4 high


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_lossless_picture_comes_back_exactly(kind):
    image = picture(size=(6, 4))
    pixels = decode(encoded(image, kind))
    assert pixels.shape == (4, 6, 3)
    np.testing.assert_array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_lossy_picture_comes_back_nearly(kind):
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    np.testing.assert_allclose(decode(encoded(image, kind)).mean((0, 1)), (200, 100, 50), atol=4)


def test_pixels_can_be_written_to():
    assert decode(encoded(picture())).flags.writeable


@pytest.mark.parametrize("content", TRUNCATED)
def test_a_truncated_picture_is_refused(content):
    with pytest.raises(BadImage):
        decode(content)


@pytest.mark.parametrize("cut", range(9, len(encoded(picture())), 7))
def test_a_png_is_refused_wherever_it_is_cut(cut):
    with pytest.raises(BadImage):
        decode(encoded(picture())[:cut])


def test_text_with_the_suffix_of_an_image_is_refused():
    with pytest.raises(BadImage, match="not an image"):
        decode(b"<html>404 not found</html>")


def test_a_wrong_png_checksum_is_refused_by_name():
    with pytest.raises(BadImage, match="checksum of 'IDAT' is wrong"):
        decode(png(2, 2, b"\0\1\2" * 2, flip_checksum_of=b"IDAT"))


@pytest.mark.parametrize("n_rows", [3, 5])
def test_a_png_with_too_few_or_too_many_rows_is_refused(n_rows):
    with pytest.raises(BadImage, match="not 12 bytes long"):
        decode(png(2, 4, b"\0\1\2" * n_rows))


@pytest.mark.parametrize("size", [(40_000, 10), (32_000, 32_000), (2**31 - 1, 2**31 - 1)])
def test_huge_dimensions_are_refused_before_decoding(size):
    with pytest.raises(BadImage, match=r"over the limit|decompression bomb"):
        decode(png(*size, b"\0"))


@pytest.mark.parametrize("size", [(1, 32_000), (32_000, 1), (4, 32_000), (3, 301), (1, 101)])
def test_strips_are_refused_by_shape_since_resizing_the_shorter_side_would_blow_them_up(size):
    content = encoded(Image.new("RGB", size))
    for read in (decode, images.check):
        with pytest.raises(BadImage, match=f"{size[0]:,} x {size[1]:,} is a strip, over 100 times as long"):
            read(content)


@pytest.mark.parametrize("size", [(1, 100), (300, 3), (1, 1)])
def test_what_is_at_most_a_hundred_times_as_long_as_wide_is_read(size):
    assert decode(encoded(Image.new("RGB", size))).shape == (size[1], size[0], 3)


def test_a_png_that_inflates_to_more_than_its_size_is_refused_in_little_memory():
    with pytest.raises(BadImage, match="not 6 bytes long"):
        decode(png(2, 2, bytes(50_000_000)))


@pytest.mark.parametrize("interlaced", [1, 8, 9, 17])
def test_an_interlaced_png_of_any_width_is_whole(interlaced):
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    rows = b""
    for x, y, dx, dy in passes:
        n_columns = len(range(x, interlaced, dx))
        rows += (b"\0" + b"\x07" * n_columns) * (len(range(y, 5, dy)) if n_columns else 0)
    content = bytearray(png(interlaced, 5, rows))
    content[28] = 1
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    np.testing.assert_array_equal(decode(bytes(content)), np.full((5, interlaced, 3), 7))


def test_cmyk_is_converted():
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow print red
    red, green, blue = decode(encoded(ink, "JPEG")).mean((0, 1))
    assert red > 200
    assert max(green, blue) < 60


def test_a_transparent_palette_is_composited_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putdata([0, 1])
    pixels = decode(encoded(image, "PNG", transparency=0))
    np.testing.assert_array_equal(pixels, [[[255, 255, 255], [10, 20, 30]]])


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 51)), ("LA", (0, 51))])
def test_alpha_is_composited_on_white(mode, colour):
    pixels = decode(encoded(Image.new(mode, (3, 3), colour)))
    np.testing.assert_array_equal(pixels, np.full((3, 3, 3), 204))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_gray_is_scaled_not_clipped_white(kind):
    wide = np.array([[0, 257, 32768, 65535]], np.uint16)
    pixels = decode(encoded(Image.fromarray(wide), kind))
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])
    assert pixels.shape == (1, 4, 3)


def test_floating_point_pixels_are_refused():
    with pytest.raises(BadImage, match="32-bit"):
        decode(encoded(Image.new("F", (2, 2), 0.5), "TIFF"))


@pytest.mark.parametrize(
    ("bands", "tags", "reason"),
    [
        (5, {262: 1}, "TIFF of 5 bands; gray, RGB, CMYK and palette are read, alone or with alpha"),
        (8, {262: 2, 338: (0,) * 5}, "TIFF of 8 bands"),
        (4, {262: 2, 338: (0,)}, "TIFF of 4 bands"),  # near infrared, which is no alpha
        (4, {262: 2}, "TIFF of 4 bands"),
        (2, {262: 1}, "TIFF of 2 bands"),
    ],
)
def test_a_tiff_of_other_bands_than_colours_has_a_stable_reason(bands, tags, reason):
    for read in (decode, images.check, images.orientation):
        with pytest.raises(BadImage, match=reason):
            read(tiff(6, 8, bands, tags))


def test_a_tiff_of_sixty_four_bits_has_a_reason_without_an_address():
    with pytest.raises(BadImage, match="its header describes no picture that can be read"):
        decode(tiff(6, 8, 1, {262: 1}, bits=64))


@pytest.mark.parametrize("bands", [1, 3])
def test_tiffs_made_by_hand_and_big_tiffs_are_read(bands):
    assert decode(tiff(6, 8, bands, {262: 1 if bands == 1 else 2})).shape == (6, 8, 3)
    np.testing.assert_array_equal(decode(encoded(PHOTO, "TIFF", big_tiff=True)), np.asarray(PHOTO))


def test_a_damaged_big_tiff_has_a_stable_reason():
    for content in (b"II+\0" + bytes(40), b"MM\0+", encoded(PHOTO, "TIFF", big_tiff=True)[:-300]):
        reasons = {_refusal(content) for _ in range(2)}
        assert len(reasons) == 1
        assert "TIFF" in reasons.pop()


def test_one_bit_is_black_and_white():
    np.testing.assert_array_equal(decode(encoded(Image.new("1", (2, 2), 1))), np.full((2, 2, 3), 255))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_exif_turns_stands_upright(orientation, kind):
    stored = _stored_as(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(stored), kind, exif=exif)), CORNER)


def test_an_unreadable_orientation_counts_as_upright():
    content = encoded(Image.new("RGB", (6, 4)), "JPEG", exif=b"Exif\0\0nonsense")
    assert decode(content).shape == (4, 6, 3)


def test_only_the_first_frame_is_read():
    black, white = (Image.new("L", (2, 2), value) for value in (0, 255))
    content = encoded(black, "GIF", save_all=True, append_images=[white])
    assert decode(content).max() == 0


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(BadImage, match="empty file"):
        read_bytes(str(tmp_path / "a.png"))


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(BadImage, match="not a plain file"):
        read_bytes(str(tmp_path / "a.png"))


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(BadImage, match="symbolic link, not followed"):
        read_bytes(str(tmp_path / "b.png"))


def test_a_large_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1_000_000)
    (tmp_path / "a.png").write_bytes(bytes(1_000_001))
    with pytest.raises(BadImage, match="over 1 MB"):
        read_bytes(str(tmp_path / "a.png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_random_damage_gives_pixels_or_one_clear_line(kind):
    random = np.random.default_rng(0)
    whole = encoded(picture(size=(24, 16)), kind)
    for _ in range(150):
        content = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            content[position] = random.integers(256)
        assert "\n" not in _refusal(bytes(content))


def _refusal(content):
    """The reason, or nothing where there are pixels; anything else that is raised fails the test."""
    try:
        assert decode(content).ndim == 3
    except BadImage as error:
        return str(error)
    return ""


def _stored_as(orientation):
    """CORNER as a camera would store it, by Pillow's own words for the inverse of each turn."""
    turn = Image.Transpose
    inverse = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    image = Image.fromarray(CORNER)
    return np.asarray(image.transpose(inverse[orientation]) if orientation > 1 else image)


@pytest.mark.parametrize(
    ("bits", "n_colours", "indices"), [(8, 4, (0, 3, 200)), (4, 3, (3,)), (1, 1, (0, 1))]
)
def test_an_index_beyond_the_palette_is_no_colour(bits, n_colours, indices):
    content = palette_png(bits, n_colours, indices)
    for read in (decode, check):
        with pytest.raises(BadImage, match=rf"index {max(indices)}, and its palette has {n_colours} colours"):
            read(content)
    assert decode_map(content).tolist() == [list(indices)], "of a label map, indices are the classes"


def test_every_colour_of_a_short_palette_is_read():
    assert decode(palette_png(4, 3, (0, 1, 2)))[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_gif_with_an_index_beyond_its_colour_table_is_refused():
    image = Image.new("P", (4, 1))
    image.putpalette(bytes(range(12)))
    image.putdata([0, 1, 2, 3])
    content = bytearray(encoded(image, "GIF"))
    content[10] &= ~1  # the global colour table has two colours, not four
    del content[19:25]
    with pytest.raises(BadImage, match="index 3, and its palette has 2 colours"):
        decode(bytes(content))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "L", "1", "I;16", "RGB"])
def test_pixels_do_not_depend_on_the_strips_that_they_are_converted_in(mode, monkeypatch):
    source = picture(size=(20, 23)).convert("RGBA")
    source.putalpha(Image.linear_gradient("L").resize((20, 23)))
    image = Image.fromarray(np.arange(460, dtype=np.uint16).reshape(23, 20) * 140) if mode == "I;16" else None
    image = image or source.convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    whole = decode(content)
    monkeypatch.setattr("mlproject.data.images.STRIP", 5)
    assert np.array_equal(decode(content), whole)


def test_pixel_data_are_inflated_piece_by_piece(monkeypatch):
    monkeypatch.setattr("mlproject.data.png.PIECE", 7)
    content = encoded(picture(size=(30, 40)))
    assert decode(content).shape == (40, 30, 3)
    for n_rows in (3, 5):
        with pytest.raises(BadImage, match="pixel data is not"):
            decode(png(6, 4, bytes(7 * n_rows)))
