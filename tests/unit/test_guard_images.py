"""Guard opens images and never extracts them: what lies in a layer is found, also what a later one
deletes, and an archive that would trick a reader is refused with file and entry."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from datetime import date
from pathlib import Path

import pytest
import zstandard

from kirikae.guard import tars
from kirikae.guard.archives import images, is_archive
from kirikae.guard.checks import CHECKS, NIST, PROFILES, Asked, looked_at
from kirikae.guard.errors import ObjectProblem
from kirikae.guard.limits import limits
from kirikae.guard.seen import Outcome
from tests import images_made as made
from tests.command import run

ASKED = Asked(PROFILES, limits(date(2026, 11, 28)))


def looks(path):
    return looked_at(images("image", path), ASKED)


def found(path):
    return {(each.code, each.where) for look in looks(path) for each in look.findings}


def of_rows(tmp_path, *more, config=made.CONFIG, form="docker"):
    """What is found where these layers lie above the harmless ones."""
    layers = [made.layer(rows) for rows in (*made.LAYERS, *more)]
    return found(made.written(tmp_path, form, layers, config))


@pytest.mark.parametrize("form", made.FORMS)
def test_nothing_is_found_in_what_is_right(tmp_path, form):
    """In every form; every check of an image was made, and none was left unchecked."""
    path = made.written(tmp_path, form, [made.layer(rows) for rows in made.LAYERS])
    assert is_archive(path)
    outcomes = {look.code: look.outcome for look in looks(path)}
    assert set(outcomes.values()) == {Outcome.PASS}
    assert set(outcomes) == {check.code for check in CHECKS if check.of_image is not None}


FAULTY = {
    "usr/bin/su": (("usr/bin/su", 0o4755, b"x"), "GD12"),
    "usr/bin/wall": (("usr/bin/wall", 0o2755, b"x"), "GD12"),
    "srv/upload": (("srv/upload/", 0o777, b""), "GD11"),
    "srv/free": (("srv/free", 0o666, b"x"), "GD11"),
    "usr/sbin/sshd": (("usr/sbin/sshd", 0o755, b"x"), "GD09"),
    "etc/shadow": (("etc/shadow", 0o640, b"root::1::::::\n"), "GD09"),
    "usr/bin/gcc": (("usr/bin/gcc", 0o755, b"x"), "GD13"),
    "srv/.git/HEAD": (("srv/.git/HEAD", 0o644, b"ref: x"), "GD13"),
    "var/lib/apt/lists": (("var/lib/apt/lists/deb", 0o644, b"x" * 200_000), "GD13"),
    "root/.ssh/id_rsa": (("root/.ssh/id_rsa", 0o600, made.KEY), "GD03"),
    "srv/tls.conf": (("srv/tls.conf", 0o644, made.KEY), "GD03"),
    "srv/.env": (("srv/.env", 0o644, b"DB_HOST=db\nDB_PASSWORD=hunter2\n"), "GD03"),
    "srv/wp-config.php": (
        ("srv/wp-config.php", 0o644, b"define('DB_PASSWORD', 'hunter2');"),
        "GD03",
    ),
    "root/.npmrc": (("root/.npmrc", 0o600, b"//r/:_authToken=abc123\n"), "GD03"),
    "root/.aws/credentials": (
        ("root/.aws/credentials", 0o600, b"[d]\naws_secret_access_key = x\n"),
        "GD03",
    ),
    "root/.docker/config.json": (
        ("root/.docker/config.json", 0o600, b'{"auths": {"r": {"auth": "eDp5"}}}'),
        "GD03",
    ),
    "srv/key.p12": (("srv/key.p12", 0o644, b"\x30"), "GD03"),
    "srv/notes": (("srv/notes", 0o644, b"key AKIAQ3EGRIEVXQ7ABCDE"), "GD03"),
}
HARMLESS = [
    ("usr/bin/passwd.txt", 0o755, b"x"),
    ("srv/.env.example", 0o644, b"DB_PASSWORD=hunter2\n"),
    ("srv/database.yml", 0o644, b"password: <%= ENV['DB'] %>\npassword: ${DB}\n"),
    ("usr/lib/libssl.so", 0o644, b"\0-----BEGIN RSA PRIVATE KEY-----\0-----BEGIN\0"),
    ("srv/docs.md", 0o644, b"AKIAIOSFODNN7EXAMPLE"),
    ("srv/node_modules/tls/test/key.pem", 0o644, made.KEY),
    ("etc/ssl/certs/ca.pem", 0o644, b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64),
    ("var/lib/apt/lists/lock", 0o640, b""),
    ("root/.npmrc", 0o644, b"//r/:_authToken=${NPM_TOKEN}\n"),
]


@pytest.mark.parametrize("where", FAULTY)
def test_each_fault_in_a_layer_is_found(tmp_path, where):
    """And no other."""
    row, code = FAULTY[where]
    assert of_rows(tmp_path, [row]) == {(code, f"image#{where}")}


@pytest.mark.parametrize("row", HARMLESS, ids=lambda row: row[0])
def test_what_only_looks_like_it_is_not_found(tmp_path, row):
    """Templates, code that speaks of keys, public certificates, tests of libraries."""
    assert of_rows(tmp_path, [row]) == set()


CONFIGS = {
    "GD01": [("User", ""), ("User", "root"), ("User", "0:0")],
    "GD03": [("Env", ["DB_PASSWORD=hunter2"])],
    "GD08": [("Cmd", ["/bin/sh", "-c", "app"]), ("Entrypoint", ["sh", "-c", "app"])],
    "GD09": [("ExposedPorts", {"22/tcp": {}})],
}


@pytest.mark.parametrize("case", [(code, each) for code, rows in CONFIGS.items() for each in rows])
def test_each_fault_of_the_configuration_is_found(tmp_path, case):
    """The value of a secret is not told."""
    code, (key, value) = case
    config = copy.deepcopy(made.CONFIG)
    config["config"][key] = value
    assert {each for each, _ in of_rows(tmp_path, config=config)} == {code}
    path = made.written(tmp_path, "docker", [made.layer(made.LAYERS[0])], config)
    assert "hunter2" not in json.dumps(
        [f.to_plain() for look in looks(path) for f in look.findings]
    )


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("|1 NPM_TOKEN=abc123 /bin/sh -c npm ci", "GD03"),
        ("/bin/sh -c #(nop)  ENV DB_PASSWORD=hunter2", "GD03"),
        ("RUN curl -s https://example.com/i | bash # buildkit", "GD10"),
        ("ENV DB_PASSWORD=$X", None),
    ],
)
def test_the_history_is_read(tmp_path, step, code):
    """Whoever has the image has it."""
    config = {**made.CONFIG, "history": [{"created_by": step}]}
    assert {each for each, _ in of_rows(tmp_path, config=config)} == ({code} if code else set())


def test_a_name_that_moves_and_a_base_that_nobody_named(tmp_path):
    """latest alone is a finding; without a label the base is not known, which is not green."""
    path = tmp_path / "image.tar"
    layers = [made.layer(made.LAYERS[0])]
    path.write_bytes(made.docker(layers, tags=["shop:latest"]))
    assert found(path) == {("GD04", "image#RepoTags")}
    path.write_bytes(made.docker(layers, tags=["shop:latest", "shop:r2"]))
    assert found(path) == set()
    config = copy.deepcopy(made.CONFIG)
    config["config"]["Labels"] = {"kirikae.base": "debian:12"}
    path.write_bytes(made.docker(layers, config))
    assert {look.code: look.outcome for look in looks(path)}["GD04"] is Outcome.NOT_CHECKED


@pytest.mark.parametrize("form", made.FORMS)
@pytest.mark.parametrize("gone", ["srv/.wh.id_rsa", ".wh.srv", "srv/.wh..wh..opq"])
def test_a_later_layer_takes_away_a_bit_but_no_secret(tmp_path, form, gone):
    """The key and the cache are in the image still; of setuid the last layer decides."""
    first = [
        ("srv/id_rsa", 0o600, made.KEY),
        ("srv/tool", 0o4755, b"x"),
        ("usr/bin/su", 0o4755, b"x"),
        ("var/cache/apt/archives/a.deb", 0o644, b"x" * 200_000),
    ]
    taken = [(gone, 0o600, b""), ("usr/bin/su", 0o755, b"x"), ("var/cache/.wh.apt", 0, b"")]
    layers = [made.layer(first), made.layer(taken)]
    path = made.written(tmp_path, form, layers)
    told = {each.where: each.says for look in looks(path) for each in look.findings}
    still = {"image#srv/id_rsa", "image#var/cache/apt/archives"}
    left = {"image#srv/tool"} if gone.endswith("id_rsa") else set()
    assert set(told) == still | left
    assert "layer 1" in told["image#srv/id_rsa"] and "later layer" in told["image#srv/id_rsa"]


def test_a_secret_that_comes_back_is_not_told_as_deleted(tmp_path):
    """One layer has it, the next one deletes it, the third one brings another: that one is
    there."""
    key = ("srv/id_rsa", 0o600, made.KEY)
    layers = [made.layer([key]), made.layer([("srv/.wh.id_rsa", 0, b"")]), made.layer([key])]
    [look] = [look for look in looks(made.written(tmp_path, "docker", layers)) if look.findings]
    assert "layer 3" in look.findings[0].says and "later layer" not in look.findings[0].says


def test_files_of_packages_are_public_and_what_lies_over_them_is_not(tmp_path):
    """The key of a package's own test; the same path with the user's key in a later layer."""
    listed = ("var/lib/dpkg/info/x.list", 0o644, b"/usr/lib/x/test.pem\n")
    package = [("usr/lib/x/test.pem", 0o644, made.KEY), listed]
    assert of_rows(tmp_path, package) == set()
    over = [("usr/lib/x/test.pem", 0o644, made.KEY)]
    assert of_rows(tmp_path, package, over) == {("GD03", "image#usr/lib/x/test.pem")}


# --- hostile archives


def hostile_entry(**given):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("srv/ok")
        tar.addfile(info)
        info = tarfile.TarInfo(given.get("name", "srv/x"))
        for key, value in given.items():
            setattr(info, key, value)
        tar.addfile(info)
    return out.getvalue()


def damaged_layer():
    data = bytearray(made.layer([("srv/a", 0o644, b"x"), ("srv/b", 0o644, b"y")]))
    data[1024:1030] = b"\xff\xff\xff\xff\xff\xff"
    return bytes(data)


def huge_header():
    info = tarfile.TarInfo("x")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 5_000_000_000
    return info.tobuf() + b"\0" * 1024


def negative():
    info = tarfile.TarInfo("srv/x")
    block = bytearray(info.tobuf())
    block[124:136] = b"\xff" * 12
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    block[148:156] = f"{total:06o}\0 ".encode()
    return bytes(block) + b"\0" * 1024


HOSTILE = {
    "climbs out": (lambda: hostile_entry(name="../../etc/cron.d/x"), "srv|etc/cron.d"),
    "link climbs out": (
        lambda: hostile_entry(type=tarfile.LNKTYPE, linkname="../../etc/shadow"),
        "etc/shadow",
    ),
    "broken header": (damaged_layer, "srv/a.*header"),
    "broken gzip": (lambda: gzip.compress(made.layer(made.LAYERS[0]))[:-30], "layer"),
    "no gzip": (lambda: b"\x1f\x8b" + b"x" * 100, "layer"),
    "no tar": (lambda: b"x" * 2000, "layer"),
    "huge header": (huge_header, "header of 5,000,000,000"),
    "negative size": (negative, "negative"),
    "ends in the middle": (lambda: made.layer([("srv/a", 0o644, b"x" * 5000)])[:3000], "srv/a"),
}


@pytest.mark.parametrize("form", ["docker", "oci folder"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_is_refused_with_file_and_entry(tmp_path, name, form):
    """Exit 2; nothing is written anywhere."""
    make, says = HOSTILE[name]
    path = made.written(tmp_path, form, [make()])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ObjectProblem, match=f"(?s)^image: .*({says})"):
        images("image", path)
    assert sorted(tmp_path.rglob("*")) == before
    assert run("guard", "check", str(path)).exit_code == 2


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path, monkeypatch):
    """Zeros that unpack a thousandfold, and a whole that is larger than any image."""
    monkeypatch.setattr(tars, "_BOMB_FROM", 1_000_000)
    zeros = made.layer([("srv/zeros", 0o644, b"\0" * 5_000_000)])
    for packed in (gzip.compress(zeros), zstandard.compress(zeros)):
        with pytest.raises(ObjectProblem, match=r"unpack to more than"):
            images("image", made.written(tmp_path, "docker", [packed]))
    path = tmp_path / "whole.tar"
    path.write_bytes(gzip.compress(made.docker([zeros])))
    with pytest.raises(ObjectProblem, match=r"unpack to more than"):
        images("image", path)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    """Of a layer, and of the archive itself."""
    monkeypatch.setattr(tars, "MOST_ENTRIES", 10)
    rows = [(f"srv/{n}", 0o644, b"") for n in range(11)]
    with pytest.raises(ObjectProblem, match="more than 10 entries"):
        images("image", made.written(tmp_path, "docker", [made.layer(rows)]))


ONE_LAYER = json.dumps({"rootfs": {"diff_ids": ["sha256:" + "1" * 64]}}).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"manifest.json": b"{"}, "manifest.json"),
        ({"manifest.json": b"[]"}, "no image"),
        ({"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}, "missing"),
        ({"manifest.json": b'[{"Config": "c.json", "Layers": ["gone/layer.tar"]}]'}, "gone/layer"),
        ({"manifest.json": b"[" * 5000}, "no JSON"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}'}, "no digest"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:' + b"0" * 64 + b'"}]}'}, "missing"),
        ({"other": b"x"}, "neither"),
    ],
)
def test_a_hostile_list_of_contents_is_refused(tmp_path, change, says):
    """Paths for digests, files that are not there, JSON that is none."""
    path = tmp_path / "image.tar"
    path.write_bytes(made.archive({"c.json": ONE_LAYER, **change}))
    with pytest.raises(ObjectProblem, match=f"^image: .*{says}"):
        images("image", path)


SAVED = {"Config": "c.json", "Layers": ["0/layer.tar"]}
SHORT = [
    {**SAVED, "Layers": None},
    {**SAVED, "Layers": []},
    {**SAVED, "Layers": {"0": "0/layer.tar"}},
    {**SAVED, "Layers": ["0/layer.tar"] * 2},
    {"Config": "c.json"},
]


@pytest.mark.parametrize("row", SHORT)
def test_an_image_whose_layers_are_not_all_named_is_refused(tmp_path, row):
    """Nothing is green that was not looked at: the configuration counts them."""
    data = made.layer(made.LAYERS[0])
    files = {
        "0/layer.tar": data,
        "c.json": made.complete(made.CONFIG, [data]),
        "manifest.json": json.dumps([row]).encode(),
    }
    path = tmp_path / "image.tar"
    path.write_bytes(made.archive(files))
    with pytest.raises(ObjectProblem, match=r"lists 1 layers, and [02] are named"):
        images("image", path)


def cut_off():
    """Where an entry ends, so that no reader of tars or of zstd's frames minds."""
    whole = made.layer([("srv/a", 0o644, b"x" * 512), ("srv/id_rsa", 0o600, made.KEY)])
    frames = zstandard.ZstdCompressor().compressobj()
    begun = frames.compress(whole[:1024]) + frames.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return {
        "tar": (whole, whole[:1024]),
        "zeros": (whole, b"\0" * len(whole)),
        "gzip": (whole, gzip.compress(whole[:1024])),
        "zstd": (whole, begun),
    }


@pytest.mark.parametrize("kind", cut_off())
def test_a_layer_that_is_cut_off_between_two_entries_is_refused(tmp_path, kind):
    """Its digest is another one: what came after the cut was never looked at."""
    whole, cut = cut_off()[kind]
    config = json.loads(made.complete(made.CONFIG, [whole]))
    with pytest.raises(ObjectProblem, match="cut off or another one"):
        images("image", made.written(tmp_path, "docker", [cut], config))


def headers(kind, data, times):
    """Headers that announce a header."""
    info = tarfile.TarInfo("x")
    info.type = kind
    info.size = len(data)
    block = info.tobuf() + data + b"\0" * (512 - len(data))
    return block * times + tarfile.TarInfo("srv/x").tobuf() + b"\0" * 1024


ENDLESS = {
    "names of names": headers(tarfile.GNUTYPE_LONGNAME, b"ab", 3000),
    "attributes of attributes": headers(tarfile.XHDTYPE, b"11 foo=bar\n", 3000),
    "a size beyond every disk": headers(tarfile.XHDTYPE, b"29 size=99999999999999999999\n", 1),
    "a path of five thousand letters": made.layer([("y" * 5000, 0o644, b"")]),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.timeout(60)
def test_headers_that_never_end_are_refused(tmp_path, name):
    """In a layer and in the archive itself."""
    for data in (made.docker([ENDLESS[name]]), ENDLESS[name]):
        path = tmp_path / "image.tar"
        path.write_bytes(data)
        ended = run("guard", "check", str(path))
        assert ended.exit_code == 2
        assert "nothing of it was looked at" in ended.stderr


def test_a_short_list_that_names_one_layer_for_ever_is_refused(tmp_path, monkeypatch):
    """What one archive costs in all is bounded: images, and bytes that come out of its layers."""
    data = made.layer(made.LAYERS[0])
    files = made.oci_files([data])
    index = json.loads(files["index.json"])
    index["manifests"] *= 1001
    files["index.json"] = json.dumps(index).encode()
    with pytest.raises(ObjectProblem, match="more than 1,000 images"):
        images("image", made.laid_out(tmp_path / "many", files))
    monkeypatch.setattr(tars.Budget, "__init__", lambda self: vars(self).update(SMALL))
    with pytest.raises(ObjectProblem, match="in all"):
        images("image", made.written(tmp_path, "docker", [data] * 20))


SMALL = {"left_bytes": 50_000, "left_images": 10}


def test_an_encrypted_layer_is_not_green(tmp_path):
    """What it holds is not known, and the reason says how it becomes known; the configuration is
    read all the same."""
    data = made.layer(made.LAYERS[0])
    files = made.oci_files([data], layer_kind="application/vnd.oci.image.layer.v1.tar+encrypted")
    outcomes = {look.code: look for look in looks(made.laid_out(tmp_path / "layout", files))}
    assert outcomes["GD03"].outcome is Outcome.NOT_CHECKED
    assert outcomes["GD03"].why[0].key == "guard.encrypted"
    assert outcomes["GD01"].outcome is Outcome.PASS


def test_what_is_kept_like_an_image_and_is_none_is_left_out(tmp_path):
    """A signature beside the image; alone it is no image, and no green one."""
    files = made.oci_files([made.layer(made.LAYERS[0])])
    signature = {"config": {"mediaType": "application/vnd.dev.cosign.artifact.v1+json"}}
    blob = json.dumps(signature).encode()
    files[f"blobs/sha256/{made.sum_of(blob)}"] = blob
    index = json.loads(files["index.json"])
    row = {"digest": f"sha256:{made.sum_of(blob)}"}
    both = {**files, "index.json": json.dumps({"manifests": [*index["manifests"], row]}).encode()}
    assert len(images("image", made.laid_out(tmp_path / "both", both))) == 1
    alone = {**files, "index.json": json.dumps({"manifests": [row]}).encode()}
    with pytest.raises(ObjectProblem, match="no image stands in it"):
        images("image", made.laid_out(tmp_path / "alone", alone))


@pytest.mark.parametrize(
    ("pack", "command"),
    [(zstandard.compress, "zstd -d"), (lzma.compress, "xz -d"), (bz2.compress, "bzip2 -d")],
)
def test_a_packed_archive_is_told_how_to_unpack(tmp_path, pack, command):
    """`docker load` takes it."""
    path = tmp_path / "image.tar.packed"
    path.write_bytes(pack(made.docker([made.layer(made.LAYERS[0])])))
    with pytest.raises(ObjectProblem, match=command):
        images("image", path)
    assert command in run("guard", "check", str(path)).stderr


def test_a_name_in_a_layer_writes_no_line_of_its_own(tmp_path):
    """Line breaks in file names would be findings of their own in what a person reads."""
    rows = [("srv/a\nhigh GD03 forged: x", 0o666, b"x")]
    path = made.written(tmp_path, "docker", [made.layer(rows)])
    for verb in ("check", "nist"):
        lines = run("guard", verb, str(path)).stdout.splitlines()
        assert not [line for line in lines if line.startswith("high GD03 forged")]


def test_a_blob_that_is_not_what_its_name_says_is_refused(tmp_path):
    """A layer, and the configuration."""
    files = made.oci_files([made.layer(made.LAYERS[0])])
    names = [name for name in files if name.startswith("blobs/")]
    for name in names:
        changed = {**files, name: files[name].replace(b"999", b"000") + b" "}
        folder = made.laid_out(tmp_path / made.sum_of(name.encode())[:8], changed)
        if files[name] == b"{}":
            continue  # A builder's note is not read.
        with pytest.raises(ObjectProblem, match="digest"):
            images("image", folder)


def test_links_of_a_layout_are_not_followed(tmp_path):
    """A blob that is a link to a file of the reader's; of an archive, one that leads out of it."""
    folder = made.laid_out(tmp_path / "a", made.oci_files([made.layer(made.LAYERS[0])]))
    index = folder / "index.json"
    index.rename(tmp_path / "index.json")
    index.symlink_to(tmp_path / "index.json")
    with pytest.raises(ObjectProblem, match=r"index\.json cannot be read"):
        images("image", folder)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type = tarfile.SYMTYPE
        info.linkname = "../../etc/passwd"
        tar.addfile(info)
    tmp_path.joinpath("b.tar").write_bytes(out.getvalue())
    with pytest.raises(ObjectProblem, match="leads out of the archive"):
        images("image", tmp_path / "b.tar")


def test_a_layer_that_nobody_can_read_here_is_not_green(tmp_path, monkeypatch):
    """zstd without its library: what layers hold is not known, and the reason says what to
    install."""
    path = made.written(tmp_path, "docker", [zstandard.compress(made.layer(made.LAYERS[0]))])
    assert found(path) == set()
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    outcomes = {look.code: look for look in looks(path)}
    assert outcomes["GD12"].outcome is Outcome.NOT_CHECKED
    assert outcomes["GD12"].why[0].key == "guard.zstd"
    assert outcomes["GD01"].outcome is Outcome.PASS


def test_every_check_of_an_image_has_a_failing_example():
    """From a layer, the configuration or the history."""
    failing = {code for _, code in FAULTY.values()} | set(CONFIGS) | {"GD10", "GD04"}
    assert failing == {check.code for check in CHECKS if check.of_image is not None}
    assert all(NIST in check.profiles for check in CHECKS if check.code in ("GD12", "GD13"))


# --- a real one


DOCKERFILE = """\
FROM scratch
ADD files.tar /
RUN ["/bin/busybox", "rm", "/srv/id_rsa"]
ENV DB_PASSWORD=hunter2
EXPOSE 22
CMD /srv/app
"""


@pytest.mark.engine
def test_an_image_of_the_real_engine(tmp_path):
    """Built and saved by it: the deleted key, the setuid file, the variable, the port, the user."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    rows = [
        ("bin/busybox", 0o755, Path(busybox).read_bytes()),
        ("srv/id_rsa", 0o600, made.KEY),
        ("usr/bin/su", 0o4755, b"x"),
    ]
    tmp_path.joinpath("files.tar").write_bytes(made.layer(rows))
    tmp_path.joinpath("Dockerfile").write_text(DOCKERFILE)
    tag = "kirikae-test-guard:r1"
    path = tmp_path / "saved.tar"
    try:
        engine = {"capture_output": True, "check": True}
        subprocess.run(["docker", "build", "-q", "-t", tag, str(tmp_path)], **engine)
        subprocess.run(["docker", "save", "-o", str(path), tag], **engine)
    finally:
        subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, check=False)
    told = {each.where: each for look in looks(path) for each in look.findings}
    assert {"image#srv/id_rsa", "image#usr/bin/su", "image#Env.DB_PASSWORD"} <= set(told)
    assert {"image#ExposedPorts.22", "image#User", "image#Cmd"} <= set(told)
    assert "later layer deletes it" in told["image#srv/id_rsa"].says
