"""The benchmark of coverage runs, finds sound intervals sound, and finds out those that are too narrow."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks/interval_coverage.py"
PRINTED = {
    "accuracy, images",
    "accuracy, patients",
    "auc, images",
    "auc, patients",
    "auc_difference, patients",
    "macro_auc, patients",
    "macro_auc_difference, patients",
    "mean_fold_accuracy, patients",
    "mean, patients",
    "sure_calibration_error, patients",
    "log_loss, patients",
    "calibration_error, patients",
    "honest_calibration_error, patients",
    "temperature, patients",
    "brier, patients",
    "accuracy_difference, patients",
    "accuracy, rejected",
    "auc_difference, rejected",
}


def run(*arguments, images="60", accuracy="0.9"):
    command = [sys.executable, str(BENCHMARK), "--images", images, "--accuracies", accuracy, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_printed_interval_is_judged_and_one_seed_gives_one_result():
    done, again = (run("--json", "--repeats", "20", "--resamples", "50") for _ in range(2))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["ranges"]) == PRINTED
    assert report["rows"] == json.loads(again.stdout)["rows"]
    for row in report["rows"]:
        assert 0 <= row["coverage"] <= 1
        assert row["error"] > 0
        assert row["width"] > 0


def test_sound_intervals_pass_and_the_same_made_narrow_are_found_out():
    sound, narrow = (
        run("--json", "--repeats", "150", "--resamples", "100", "--at-least", "0.7", "--shrink", shrink)
        for shrink in ("1", "0.3")
    )
    assert (sound.returncode, narrow.returncode) == (0, 1), sound.stderr + narrow.stderr
    verdicts = [{row["judged"] for row in json.loads(done.stdout)["rows"]} for done in (sound, narrow)]
    assert verdicts[1] == {"below"}
    accuracy = [row for row in json.loads(sound.stdout)["rows"] if row["interval"] == "accuracy"]
    assert not any(row["judged"] == "below" for row in accuracy if row["over"] == "patients")


def test_the_percentiles_that_were_turned_down_cover_too_little_where_errors_are_rare():
    done = run("--json", "--repeats", "200", "--resamples", "100", accuracy="0.97")
    rows = {
        (row["over"], row["patients"]): row for row in json.loads(done.stdout)["rows"] if row["interval"] == "accuracy"
    }
    assert rows["rejected", "several"]["judged"] == "below"
    assert rows["patients", "several"]["judged"] != "below"


def test_an_interval_that_is_never_given_is_no_proof_of_coverage():
    # Nearly every cohort is all right, which has no temperature.
    done = run("--repeats", "3", "--resamples", "50", "--at-least", "0.1", accuracy="0.9999")
    assert done.returncode == 1, done.stderr
    assert "refused" in done.stdout.split("outside", 1)[1].split("over all designs")[0]
