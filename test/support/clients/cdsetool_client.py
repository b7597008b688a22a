"""Searches and downloads with CDSETool, whole or by pattern."""

import os
import sys
import time
from datetime import date

import loopback
from cdsetool.credentials import Credentials
from cdsetool.download import download_feature
from cdsetool.query import query_features

start, end, pause, wanted = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
pattern = sys.argv[5] if len(sys.argv) > 5 else None
features = list(
    query_features(
        "SENTINEL-2",
        {
            "contentDateStartGe": date.fromisoformat(start),
            "contentDateStartLt": date.fromisoformat(end),
            "productType": "S2MSI2A",
            "geometry": "POLYGON((-7.8 33.4,-7.2 33.4,-7.2 33.8,-7.8 33.8,-7.8 33.4))",
            "top": 3,
        },
    )
)
credentials = Credentials(
    os.environ["SANDBOX_USER"],
    os.environ["SANDBOX_PASSWORD"],
    openid_configuration_endpoint=f"{loopback.BASE}/auth/realms/CDSE/.well-known/openid-configuration",
)
saved = []
for feature in features[:wanted]:
    options = {"credentials": credentials, "filter_pattern": pattern, "download_attempts": 2}
    saved.append(download_feature(feature, os.environ["OUTPUT"], options))
    time.sleep(pause)
loopback.report(
    ids=[feature["Id"] for feature in features],
    titles=[feature["Name"] for feature in features],
    files=saved,
)
