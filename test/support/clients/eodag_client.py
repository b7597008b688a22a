"""Searches and downloads with eodag; configured by environment alone, as its users do."""

import os
import sys
import time
from pathlib import Path

import loopback
from eodag import EODataAccessGateway

start, end, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
gateway = EODataAccessGateway()
results = gateway.search(
    provider="cop_dataspace",
    collection="S2_MSI_L2A",
    start=start,
    end=end,
    geom="POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))",
    count=True,
    limit=2,
)
counted = results.number_matched
everything = gateway.search_all(
    provider="cop_dataspace",
    collection="S2_MSI_L2A",
    start=start,
    end=end,
    geom="POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))",
    limit=2,
)
paths = []
for product in everything[: int(sys.argv[4])]:
    path = gateway.download(product, output_dir=os.environ["OUTPUT"], extract=False, wait=0.01, timeout=0.1)
    paths.append(path)
    time.sleep(pause)
loopback.report(
    count=counted,
    ids=[product.properties["uid"] for product in everything],
    titles=[product.properties["title"] for product in everything],
    files=[str(Path(path)) for path in paths],
)
