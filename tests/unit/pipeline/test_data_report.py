"""The data report: what training and test hold and how far they lie apart, by scipy's own figures."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, entropy, ks_2samp

from bighead.pipeline import Split, TrainingSet, feature, request
from bighead.pipeline.data_report import DataReport, data_report
from bighead.pipeline.drift import of_categories, of_numbers, psi

RANDOM = np.random.default_rng(11)
BEFORE, AFTER = RANDOM.normal(0, 1, 2_000), RANDOM.normal(0.7, 1, 1_500)


def test_the_stability_index_is_that_of_the_formula() -> None:
    first, second = np.array([50, 30, 20]), np.array([20, 30, 50])
    p, q = first / 100, second / 100
    assert psi(first, second) == pytest.approx(entropy(p, q) + entropy(q, p))  # the sum of both divergences
    assert psi(first, first) == 0
    assert np.isfinite(psi(first, np.array([0, 50, 50])))


def test_numbers_are_compared_by_bins_of_the_first_and_by_kolmogorov_and_smirnov() -> None:
    found = of_numbers(BEFORE, AFTER)
    assert found is not None
    expected = ks_2samp(BEFORE, AFTER, method="asymp")
    assert (found.distance, found.p) == (expected.statistic, expected.pvalue)
    assert 0.35 < found.psi < 0.65  # of two normal distributions 0.7 apart it is 0.49
    assert found.verdict == "much changed"
    same = of_numbers(BEFORE[:1_000], BEFORE[1_000:])
    assert same is not None and same.verdict == "stable"
    few = of_numbers(BEFORE[:40], BEFORE[100:130])
    assert few is not None and few.psi > 0.25 and few.verdict == "stable"  # by chance


def test_categories_are_compared_by_their_shares() -> None:
    first, second = ["AA"] * 60 + ["UA"] * 40, ["AA"] * 30 + ["UA"] * 60 + ["B6"] * 10
    found = of_categories(first, second)
    assert found is not None
    p, q = np.array([0.6, 0.4, 0]), np.array([0.3, 0.6, 0.1])
    middle = (p + q) / 2
    assert found.distance**2 == pytest.approx((entropy(p, middle, base=2) + entropy(q, middle, base=2)) / 2)
    assert found.p == chi2_contingency(np.array([[60, 40, 0], [30, 60, 10]])).pvalue
    assert of_categories(["AA"], ["AA", "AA"]) is not None


def test_nothing_is_told_of_no_values() -> None:
    assert of_numbers(np.array([]), AFTER) is None
    assert of_categories([], ["AA"]) is None


def report() -> DataReport:
    def part(name: str, values: np.ndarray, carriers: list[str | None]) -> TrainingSet:
        rows = pd.DataFrame(
            {
                "carrier": RANDOM.choice(np.array(carriers, object), len(values)),
                "delay": np.where(np.arange(len(values)) % 10 == 0, np.nan, values),
                "hour": np.arange(len(values)) % 24,
                "none": np.nan,
                "late": values > 0,
            }
        )
        inputs = (request("carrier", "BYTES"), feature("delay"), request("hour", "INT64"), feature("none"))
        return TrainingSet(name=name, rows=rows, inputs=inputs, label="late")

    return data_report(
        Split(part("flights", BEFORE, ["AA", "<b>", None]), part("flights", AFTER, ["AA", "<b>", None]), "by hand")
    )


def test_the_report_says_what_is_missing_and_what_has_changed() -> None:
    found = report()
    assert found.drifted == ("delay",)
    rows = {row[0]: row[1:] for row in found.table().rows}
    assert rows["delay"][:4] == ("FP64", "feature", "10.0%", "10.0%")
    assert (rows["delay"][-1], rows["hour"][-1]) == ("much changed", "stable")
    assert rows["none"] == ("FP64", "feature", "100.0%", "100.0%", "0", "", "", "", "")
    assert rows["carrier"][4] == "2"
    assert "training: 2,000 rows, 4 inputs, label late" in str(found)
    assert "changed between the two (PSI above 0.1): delay" in str(found)


def test_the_report_as_html_asks_nothing_of_others_and_holds_text_as_text() -> None:
    html = report()._repr_html_()
    assert html.count("<svg") == 4
    assert "<b>" not in html and "&lt;b&gt;" in html
    assert "http" not in html.replace("http://www.w3.org", "") and "<script" not in html
