"""Folders of git worktrees, as git creates them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.fields import local_project_name
from htmlgraph_nb.coding_agents.git_worktree import MAX_GIT_FILE_BYTES, repository_folder

GIT = shutil.which("git")


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, without the settings of the user."""
    user = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    assert GIT is not None
    subprocess.run([GIT, *user, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(GIT is None, reason="git is not installed")
def test_repository_folder_of_worktrees_that_git_made(tmp_path: Path) -> None:
    """A worktree beside its repository, one of a bare repository, and a submodule."""
    api = tmp_path / "api"
    api.mkdir()
    git(api, "init", "-q")
    git(api, "commit", "-q", "--allow-empty", "-m", "x")
    git(api, "worktree", "add", "-q", "../api-fix")
    git(tmp_path, "clone", "-q", "--bare", str(api), "web.git")
    git(tmp_path / "web.git", "worktree", "add", "-q", "../web-fix")
    git(api, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(api), "lib")
    fix = tmp_path / "api-fix"
    assert Path(repository_folder(str(fix))).resolve() == api.resolve()
    assert repository_folder(str(api)) == str(api)
    assert repository_folder(str(api / "lib")) == str(api / "lib")
    names = [local_project_name(str(tmp_path / name)) for name in ("api", "api-fix", "web-fix")]
    assert names == ["api", "api", "web"]


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        ("gitdir: /src/api/.git/worktrees/fix\n", "/src/api"),
        ("gitdir: /src/api/.git/worktrees/fix", "/src/api"),
        ("gitdir: ../api/.git/worktrees/fix\n", "../api"),
        ("gitdir: C:/src/api/.git/worktrees/fix\n", "C:/src/api"),
        ("gitdir: /src/api.git/worktrees/fix\n", "/src/api"),
        ("gitdir: /src/api/.git/modules/lib\n", None),
        ("gitdir: /src/worktrees/fix\n", None),
        ("nothing", None),
        ("", None),
        ("gitdir: /src/api/.git/worktrees/fix\n" + " " * MAX_GIT_FILE_BYTES, None),
    ],
)
def test_repository_folder_reads_the_git_file(
    tmp_path: Path, text: str, repository: str | None
) -> None:
    """Any other file, such as that of a submodule, names no repository."""
    folder = tmp_path / "fix"
    folder.mkdir()
    (folder / ".git").write_text(text)
    expected = folder if repository is None else folder / repository
    assert repository_folder(str(folder)) == os.path.normpath(expected)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_repository_folder_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    """Nor does it fail for what cannot be read."""
    os.mkfifo(tmp_path / ".git")
    assert repository_folder(str(tmp_path)) == str(tmp_path)
    assert repository_folder(str(tmp_path / "missing")) == str(tmp_path / "missing")
    assert local_project_name("/a/b\0c") == "b?c"
    assert local_project_name("") is None


def test_local_project_name_knows_worktrees_by_their_path() -> None:
    """Of folders that do not exist any more."""
    assert local_project_name("/home/dev/gone/api/.claude/worktrees/fix") == "api"
    assert local_project_name("/home/dev/gone/api") == "api"
    assert local_project_name(None) is None
