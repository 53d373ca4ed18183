"""The policy file: every key is known and needed, all faults are told at once, and each floor has its reason."""

import pytest

from cxr_core.errors import PolicyError
from cxr_core.promote.policy import policy_digest, read_policy
from tests.cxr_core.promote.examples import POLICY, POLICY_TEXT


def test_the_repositorys_policy_reads_and_speaks_of_its_model():
    assert POLICY.model == "cxr-resnet34"
    assert POLICY.synthetic.may_replace_real is False


def test_each_number_of_the_policy_has_its_reason_above_it():
    lines = POLICY_TEXT.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("  ") and not line.lstrip().startswith("#"):
            above = lines[number - 1].strip()
            sibling = above.startswith("accuracy_margin")  # one reason serves both margins
            assert above.startswith("#") or sibling, f"no reason above: {line}"


def test_comments_do_not_change_the_digest_and_values_do():
    bare = "\n".join(line for line in POLICY_TEXT.splitlines() if not line.strip().startswith("#"))
    assert policy_digest(read_policy(bare)) == policy_digest(POLICY)
    changed = read_policy(POLICY_TEXT.replace("macro_auc: 0.80", "macro_auc: 0.81"))
    assert policy_digest(changed) != policy_digest(POLICY)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("macro_auc: 0.80", "macro_auc: .nan", "floors.macro_auc"),
        ("macro_auc: 0.80", "macro_auc: 1.2", "floors.macro_auc"),
        ("macro_auc: 0.80", "macro_auk: 0.80", "floors.macro_auk"),
        ("schema: 1", "schema: 2", "schema"),
        ("required: false", "required: 0", "approval.required"),
        ("images_per_class: 30", "images_per_class: 30.5", "minimum.images_per_class"),
        ("bootstrap: 1000", "", "evidence.bootstrap"),
        ("model: cxr-resnet34", "model: ''", "model"),
        ("schema: 1", "schema: [", "not YAML"),
        (POLICY_TEXT, "- a list", "expected a mapping"),
    ],
)
def test_a_policy_with_a_fault_is_refused_with_its_path(old, new, words):
    assert old in POLICY_TEXT
    with pytest.raises(PolicyError, match=words) as caught:
        read_policy(POLICY_TEXT.replace(old, new))
    assert caught.value.reason == "bad_policy"


def test_all_faults_are_told_at_once():
    broken = POLICY_TEXT.replace("required: false", "required: maybe").replace("sensitivity: 0.50", "sensitivity: 7")
    with pytest.raises(PolicyError, match=r"floors\.sensitivity.*approval\.required"):
        read_policy(broken)
