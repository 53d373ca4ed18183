"""A checkout in miniature: real git, real DVC, and a script in place of the stages that lays out three X-rays' data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.cxr_core.audit.build import data_files, pins_of

ROOT = Path(__file__).parents[3]

MAKE = """\
import os, pathlib, shutil, sys, time

stage, source = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
folder = {"ingest": "raw/" + source, "curate": "cohort", "prepare": "store", "split": "split"}[stage]
place = pathlib.Path("data") / folder
if os.environ.get("TINY_FAIL") == stage:
    print("error: the disk is full", file=sys.stderr)
    print("  next: make room", file=sys.stderr)
    sys.exit(1)
if os.environ.get("TINY_SLEEP") == stage:
    pathlib.Path(os.environ["TINY_PID"]).write_text(str(os.getpid()))
    time.sleep(60)
shutil.copytree("seed" / place, place, dirs_exist_ok=True)
print(stage, source, sys.executable)
"""
PIPELINE = """\
stages:
  ingest:
    matrix:
      source: [sirm, github]
    cmd: python make.py ingest ${item.source}
    deps: [make.py]
    params:
      - data/sources.lock.yaml:
          - sources.${item.source}
    outs:
      - data/raw/${item.source}
  curate:
    cmd: python make.py curate
    deps: [make.py, data/raw/sirm, data/raw/github]
    params: [curate]
    outs: [data/cohort]
  prepare:
    cmd: python make.py prepare
    deps: [make.py, data/cohort]
    outs: [data/store]
  split:
    cmd: python make.py split
    deps: [make.py, data/cohort]
    params: [split]
    outs: [data/split]
"""


def git(root: Path, *arguments: str) -> str:
    """Plain git for tests, with an identity, never the user's configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
    }
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def make_checkout(root: Path) -> Path:
    """A clean checkout of the miniature project."""
    root.mkdir(parents=True)
    for name in (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "make.py").write_text(MAKE, encoding="utf-8")
    (root / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (root / "params.yaml").write_text("curate:\n  quota: 3\nsplit:\n  folds: 3\n", encoding="utf-8")
    (root / "data").mkdir()
    files = data_files()
    (root / "data/sources.lock.yaml").write_text(json.dumps({"sources": pins_of(files)}), encoding="utf-8")
    for path, data in files.items():
        (root / "seed" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "seed" / path).write_bytes(data)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "start")
    return root
