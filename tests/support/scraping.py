"""Read a server's metrics as Prometheus does."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import wait_until


def scrape(client: httpx.Client) -> dict[str, float]:
    """Return the samples that are not 0, by name and labels as in the text."""
    response = client.get("/-/metrics")
    assert 200 == response.status_code
    return samples(response.text)


def samples(text: str) -> dict[str, float]:
    """Return the samples in a text that are not 0."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}" if labels else each.name] = each.value
    return {name: value for name, value in found.items() if value}


def of(found: dict[str, float], *families: str) -> dict[str, float]:
    """Return the samples of some metrics, without the common prefix of their names."""
    return {
        name.removeprefix("vendorsrv_"): value
        for name, value in found.items()
        if name.partition("{")[0].removeprefix("vendorsrv_") in families
    }


def wait_for(client: httpx.Client, name: str, value: float) -> dict[str, float]:
    """Wait until a sample has a value, and return all samples; a request is counted after its response."""
    wait_until(lambda: scrape(client).get(f"vendorsrv_{name}", 0.0) == value)
    return scrape(client)
