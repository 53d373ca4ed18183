"""What serves: judged, approved, rolled back; and the registry held against the ledger, whoever else moves an alias."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tasks.adapters.mlflow_stores import store_at
from tests.walk import LENIENT, WHO, Ended, Place, Retrained

MODEL = "cxr-resnet34"
Verb = Callable[..., Ended]


@pytest.fixture
def own(promoted: Retrained, tmp_path: Path) -> Place:
    """Version 1 was refused by the strict policy, version 2 serves by a lenient one."""
    return promoted.place.copy(tmp_path)


def client(place: Place) -> MlflowClient:
    return MlflowClient(f"sqlite:///{place.home}/mlflow/mlflow.db")


def aliases(place: Place) -> dict[str, str]:
    # MLflow's SQLite store gives numbers, a server text.
    found = client(place).get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in found.items()}


def ledger(place: Place) -> tuple[str, list[dict[str, object]]]:
    (ref,) = place.git("for-each-ref", "--format=%(refname)", "refs/cxr/ledger").split()
    paths = place.git("ls-tree", "-r", "--name-only", ref).split()
    return ref, [json.loads(place.git("cat-file", "blob", f"{ref}:{path}")) for path in paths]


def test_a_refusal_lists_its_reasons_moves_no_alias_and_is_entered_once(
    first: Retrained, tmp_path: Path, verb: Verb
) -> None:
    place = first.place.copy(tmp_path)
    ended = verb(place, "promote", "--json")
    assert ended.code == 1
    assert ended.report["outcome"] == "refused"
    assert ended.report["reasons"] == first.report["decision"]["reasons"]
    assert aliases(place) == {}
    assert [event["kind"] for event in ledger(place)[1]] == ["refused"]


def test_the_policy_as_it_stands_now_decides_and_the_champion_before_is_kept(own: Place, verb: Verb) -> None:
    ended = verb(own, "promote", f"models:/{MODEL}/1", "--json")
    assert (ended.code, ended.report["outcome"]) == (0, "promoted")
    assert aliases(own) == {"champion": "1", "previous": "2"}
    event = ledger(own)[1][-1]
    assert (event["kind"], event["who"], event["version"]) == ("promoted", WHO, "1")
    assert (event["before"], event["after"]) == ({"champion": "2"}, {"champion": "1", "previous": "2"})


def test_promoting_the_champion_again_changes_nothing(own: Place, verb: Verb) -> None:
    before = ledger(own)
    ended = verb(own, "promote", "champion", "--json")
    assert (ended.code, ended.report["outcome"]) == (0, "unchanged")
    assert ledger(own) == before


def test_a_decision_stands_with_its_run(own: Place, promoted: Retrained) -> None:
    run = client(own).get_run(promoted.report["run"])
    digest = promoted.report["decision"]["decision"].removeprefix("sha256:")
    assert f"cxr.digest.decisions/{digest[:12]}/decision.json" in run.data.tags
    assert "promoted, ledger event 2" in run.data.tags["mlflow.note.content"]
    assert "not a medical device" in run.data.tags["mlflow.note.content"]


def test_where_the_policy_wants_a_person_the_model_waits_until_one_approves(own: Place, verb: Verb) -> None:
    own.rewrite(own.policy, {"required: false": "required: true"})
    pending = verb(own, "promote", f"models:/{MODEL}/1", "--json")
    assert (pending.code, pending.report["outcome"]) == (1, "pending")
    assert aliases(own) == {"challenger": "1", "champion": "2"}
    approved = verb(own, "approve", "1", "--reason", "read twenty of its maps", "--json")
    assert (approved.code, approved.report["outcome"]) == (0, "promoted")
    assert aliases(own) == {"champion": "1", "previous": "2"}
    event = ledger(own)[1][-1]
    assert (event["kind"], event["reason"], event["who"]) == ("approved", "read twenty of its maps", WHO)


def test_nobody_approves_what_does_not_wait(own: Place, verb: Verb) -> None:
    before = ledger(own)
    ended = verb(own, "approve", "1", "--reason", "because", "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "not_pending")
    assert "cxr promote" in ended.report["error"]["hint"]
    assert ledger(own) == before


def test_the_trainer_may_not_approve_where_the_policy_wants_another_person(
    own: Place, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.rewrite(own.policy, {"required: false": "required: true", "not_the_trainer: false": "not_the_trainer: true"})
    verb(own, "promote", f"models:/{MODEL}/1")
    mine = verb(own, "approve", "1", "--reason", "mine", "--json")
    assert (mine.code, mine.report["error"]["reason"]) == (1, "wrong_approver")
    assert aliases(own) == {"challenger": "1", "champion": "2"}
    from tasks.promote import approve_version

    monkeypatch.setenv("CXR_ACTOR", "bob@hospital.example")
    assert approve_version("1", reason="checked")["outcome"] == "promoted"
    assert ledger(own)[1][-1]["who"] == "bob@hospital.example"


def test_a_rollback_returns_to_the_version_before_and_says_why(own: Place, verb: Verb) -> None:
    verb(own, "promote", f"models:/{MODEL}/1")
    ended = verb(own, "rollback", "--reason", "too many false alarms", "--json")
    assert ended.code == 0
    assert aliases(own) == {"champion": "2", "previous": "1"}
    event = ledger(own)[1][-1]
    assert (event["kind"], event["reason"]) == ("rolled_back", "too many false alarms")
    assert verb(own, "verify", "--json").code == 0


def test_a_rollback_returns_only_to_what_has_served(own: Place, verb: Verb) -> None:
    assert verb(own, "rollback", "--reason", "x", "--json").report["error"]["reason"] == "nothing_before"
    never = verb(own, "rollback", "--to", "1", "--reason", "x", "--json")
    assert (never.code, never.report["error"]["reason"]) == (1, "never_served")
    assert "cxr promote" in never.report["error"]["hint"]
    assert aliases(own) == {"champion": "2"}


def test_a_rollback_without_a_word_of_reason_is_refused(own: Place, verb: Verb) -> None:
    ended = verb(own, "rollback", "--to", "1", "--reason", "  ", "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "no_reason")
    assert aliases(own) == {"champion": "2"}


def test_an_alias_moved_by_hand_is_seen_blocks_every_change_and_is_mended(own: Place, verb: Verb) -> None:
    client(own).set_registered_model_alias(MODEL, "champion", "1")
    seen = verb(own, "verify", "--json")
    (check,) = [check for check in seen.report["checks"] if not check["ok"]]
    assert seen.code == 1
    assert "champion should be version 2 by the ledger, the registry says 1" in check["detail"]
    for change in (("promote", f"models:/{MODEL}/1"), ("rollback", "--to", "1", "--reason", "x")):
        refused = verb(own, *change, "--json")
        assert (refused.code, refused.report["error"]["reason"]) == (1, "registry_differs"), change
        assert "cxr verify --mend" in refused.report["error"]["hint"]
    assert verb(own, "verify", "--mend", "--json").code == 0
    assert aliases(own) == {"champion": "2"}


def test_an_alias_nobody_decided_on_is_seen_and_taken_away(own: Place, verb: Verb) -> None:
    client(own).set_registered_model_alias(MODEL, "production", "1")
    assert verb(own, "verify", "--json").code == 1
    assert verb(own, "verify", "--mend", "--json").code == 0
    assert aliases(own) == {"champion": "2"}


@pytest.mark.parametrize("place_of_the_edit", ["later commit", "rewritten history"])
def test_an_edited_event_fails_verification_and_mends_nothing(own: Place, verb: Verb, place_of_the_edit: str) -> None:
    ref, _ = ledger(own)
    edited = own.git("cat-file", "blob", f"{ref}:events/000002-promoted.json").replace(
        '"after":{"champion":"2"}', '"after":{"champion":"1"}'
    )
    parent = ref if place_of_the_edit == "later commit" else f"{ref}^"
    own.git("update-ref", ref, commit_with(own, parent, "events/000002-promoted.json", edited))
    assert verb(own, "verify", "--json").code == 1
    assert verb(own, "trace", "--json").code == 1
    assert verb(own, "verify", "--mend", "--json").code == 1
    assert aliases(own) == {"champion": "2"}


def test_before_any_model_is_registered_nothing_serves_and_that_verifies(
    own: Place, verb: Verb, tmp_path: Path
) -> None:
    empty = Place(clone=own.clone, home=tmp_path / "empty", sources=own.sources)
    (empty.home / "mlflow").mkdir(parents=True)
    store_at(empty.home / "mlflow")
    ended = verb(empty, "verify", "--json")
    assert (ended.code, ended.report["ledger"]) == (0, None)
    missing = verb(empty, "trace", "--json")
    assert (missing.code, missing.report["error"]["reason"]) == (1, "model_missing")
    assert "cxr retrain" in missing.report["error"]["hint"]


def test_a_broken_policy_is_refused_with_every_fault_and_decides_nothing(own: Place, verb: Verb) -> None:
    before = ledger(own)
    own.rewrite(own.policy, {LENIENT["macro_auc: 0.80"] + "\n": "macro_auk: 2\n"})
    ended = verb(own, "promote", f"models:/{MODEL}/1", "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "bad_policy")
    assert "floors.macro_auk" in ended.report["error"]["message"]
    assert ledger(own) == before


def commit_with(place: Place, parent: str, path: str, text: str) -> str:
    """A commit on a parent with one file set, as somebody with git and time makes it."""
    environment = place.environment | {
        "GIT_INDEX_FILE": str(place.home / "forged.index"),
        "GIT_AUTHOR_NAME": "eve",
        "GIT_AUTHOR_EMAIL": "eve@localhost",
        "GIT_COMMITTER_NAME": "eve",
        "GIT_COMMITTER_EMAIL": "eve@localhost",
    }

    def git(*arguments: str, stdin: str = "") -> str:
        command = ["git", "-C", str(place.clone), *arguments]
        done = subprocess.run(
            command, env={**os.environ, **environment}, input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("read-tree", parent)
    blob = git("hash-object", "-w", "--stdin", stdin=text)
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    return git("commit-tree", git("write-tree"), "-p", git("rev-parse", parent), "-m", "2: promoted")
