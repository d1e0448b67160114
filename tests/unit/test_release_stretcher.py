"""Manifests of stretcher: read as they are, and what a deploy by kirikae would lack is told."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from kirikae.model.project import OldDeployer
from kirikae.release.errors import DefinitionProblem
from kirikae.release.stretcher import Stretcher, fetched
from tests.command import run

PROJECT = """
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
"""
FILES = {
    "app.py": "v2",
    "var/log/x.log": "old",
    "log/y.log": "old",
    "tmp/a": "1",
    "not.txt": "/tmp",
}


def archive(files=FILES, gz="gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{gz}") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def manifest(folder, body=None, checksum=None, more=""):
    body = archive() if body is None else body
    (folder / "app.tar.gz").write_bytes(body)
    digits = checksum or hashlib.sha256(body).hexdigest()
    return (
        f"src: file://{folder}/app.tar.gz\nchecksum: {digits}\ndest: /srv/shop\n"
        "commands:\n  pre: [echo pre]\n  post: [systemctl reload shop]\n"
        f"  success: [notify ok]\n{more}"
    )


def no_aws():
    raise AssertionError("nobody asks AWS here")


def unpacked(folder, text, **environment):
    found = Stretcher.read(text, "deploy.yml", environment)
    into = folder / "tree"
    into.mkdir()
    found.unpack(into, no_aws)
    return sorted(f.relative_to(into).as_posix() for f in into.rglob("*") if f.is_file())


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("gz", ["gz", ""])
def test_the_algorithm_is_told_by_the_length(tmp_path, algorithm, gz):
    """Of a tar with or without gzip; capitals are the same digits."""
    body = archive(gz=gz)
    digits = hashlib.new(algorithm, body).hexdigest().upper()
    assert unpacked(tmp_path, manifest(tmp_path, body, digits)) == sorted(FILES)


def test_another_archive_is_refused(tmp_path):
    """Such as a page of errors."""
    with pytest.raises(DefinitionProblem, match="is another archive, or was cut off"):
        unpacked(tmp_path, manifest(tmp_path, checksum="ab" * 32))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html>not found</html>", "no manifest of stretcher"),
        ("src: file:///x\ndest: /a\n", "checksum is missing"),
        ("src: file:///x\nchecksum: abc\n", "checksum abc"),
        ("src: {{ must_env `NAME` }}\n", "NAME is not set"),
        ("src: [\n", "deploy.yml.yml:2"),
        ("src: x\nchecksum: " + "ab" * 32 + "\nexcludes: ['a/b']\n", "exclude 'a/b'"),
        ("src: x\nchecksum: " + "ab" * 32 + "\nexcludes: '*.log'\n", "must be a list"),
    ],
)
def test_what_is_no_manifest_is_refused(text, says):
    """With what is wrong."""
    with pytest.raises(DefinitionProblem, match=says):
        Stretcher.read(text, "deploy.yml", {})


def test_the_environment_is_filled_in(tmp_path):
    """By `env` and `must_env`, as stretcher does it."""
    text = manifest(tmp_path).replace("app.tar.gz", "{{ must_env `NAME` }}.tar.gz")
    assert unpacked(tmp_path, text, NAME="app") == sorted(FILES)


@pytest.mark.parametrize("src", ["gs://bucket/a", "ftp://host/a"])
def test_a_place_that_is_not_read_is_named(src):
    """With the next step."""
    with pytest.raises(DefinitionProblem, match="fetch it to a file"):
        fetched(src, no_aws)


def test_nothing_leads_out_of_the_folder(tmp_path):
    """Whoever made the archive."""
    body = archive({"../evil": "x"})
    with pytest.raises(DefinitionProblem, match="leads out"):
        unpacked(tmp_path, manifest(tmp_path, body))


def test_what_a_deploy_lacks_is_told(tmp_path):
    """And nothing of what it has."""
    found = Stretcher.read(manifest(tmp_path, more="frobnicate: 1\n"), "deploy.yml", {})
    deployer = OldDeployer(root="/srv/shop", reload="systemctl reload shop")
    lines = list(found.remarks(deployer))
    assert [line.partition(":")[0] for line in lines] == [
        "commands.pre",
        "commands.success",
        "dest",
        "frobnicate",
    ]
    assert "deployer.before" in lines[0] and "release adopt --path /srv/shop" in lines[2]


def test_the_verb_makes_a_release_without_what_is_excluded(tmp_path, monkeypatch):
    """Names wherever they lie, paths from the top on, and the list within the archive."""
    more = "excludes: ['*.log']\nexclude_from: not.txt\nsync_strategy: rsync\n"
    (tmp_path / "deploy.yml").write_text(manifest(tmp_path, more=more))
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    ran = run("release", "create", "r9", "--stretcher", "deploy.yml", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["id"] == "r9" and ran.json["files"] == 2
    assert ran.json["stretcher"]["commands"]["post"] == ["systemctl reload shop"]
    told = run("release", "create", "r9", "--stretcher", "deploy.yml", "--dry-run").stdout
    assert "would create r9: 2 files" in told and "commands.pre" in told
