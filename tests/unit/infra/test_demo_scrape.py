"""The live table's numbers are the services' own metrics."""

from __future__ import annotations

import pytest

from infra.demo.scrape import Samples, Scraper

BUCKETS = Samples(
    {
        "hop_seconds_bucket": (
            ({"hop": "send", "le": "0.001"}, 50.0),
            ({"hop": "send", "le": "0.002"}, 90.0),
            ({"hop": "send", "le": "+Inf"}, 100.0),
            ({"hop": "decide", "le": "0.001"}, 0.0),
            ({"hop": "decide", "le": "+Inf"}, 0.0),
        ),
        "orders_total": (({"origin": "MODEL"}, 3.0), ({"origin": "EXPLORATION"}, 4.0)),
    }
)


def test_totals_select_by_label() -> None:
    assert BUCKETS.total("orders_total") == 7
    assert BUCKETS.total("orders_total", origin="MODEL") == 3
    assert BUCKETS.total("nothing_total") == 0


def test_quantiles_interpolate_inside_a_bucket() -> None:
    assert BUCKETS.quantile("hop_seconds", 0.5, hop="send") == pytest.approx(0.001)
    assert BUCKETS.quantile("hop_seconds", 0.7, hop="send") == pytest.approx(0.0015)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert BUCKETS.quantile("hop_seconds", 0.99, hop="send") == pytest.approx(0.002)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert BUCKETS.quantile("hop_seconds", 0.5, hop="decide") is None
    assert BUCKETS.quantile("missing", 0.5) is None


def page(orders: int, position: float) -> str:
    return (
        f'# TYPE orders_total counter\norders_total{{origin="MODEL"}} {orders}\n'
        f"# TYPE position gauge\nposition {position}\n"
    )


def test_a_restarted_service_goes_on_counting_and_its_gauges_are_the_new_ones() -> None:
    scraper = Scraper({})
    scraper.take("router", page(orders=5, position=1.5))
    scraper.take("router", page(orders=7, position=0.5))
    scraper.take("router", page(orders=2, position=0.0))
    samples = scraper.samples()
    assert samples.total("orders_total", origin="MODEL") == 9
    assert samples.first("position") == 0.0


def test_services_do_not_hide_each_other() -> None:
    scraper = Scraper({})
    scraper.take("router", page(orders=5, position=1.5))
    scraper.take("archive", "# TYPE records_total counter\nrecords_total 3\n")
    assert scraper.samples().total("orders_total") == 5
    assert scraper.samples().total("records_total") == 3
