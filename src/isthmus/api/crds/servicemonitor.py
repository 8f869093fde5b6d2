"""The spec of a ServiceMonitor of the Prometheus operator, as gateway templates carry one."""

from __future__ import annotations

from isthmus.api.crds.schema import (
    Schema,
    choice,
    flag,
    int_or_string,
    integer,
    list_of,
    map_of,
    structure,
    text,
    text_map,
    texts,
)
from isthmus.api.crds.shared import label_selector

_DURATION = "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
_LABEL_NAME = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_ACTIONS = (
    "replace",
    "keep",
    "drop",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
    "keepequal",
    "dropequal",
)
_CAPITALISED = {
    "hashmod": "HashMod",
    "labelmap": "LabelMap",
    "labeldrop": "LabelDrop",
    "labelkeep": "LabelKeep",
    "keepequal": "KeepEqual",
    "dropequal": "DropEqual",
}


def _key_selector() -> Schema:
    return structure("", {"key*": text(), "name": text(default=""), "optional": flag()}, atomic=True)


def _secret_or_config_map() -> Schema:
    return structure("", {"configMap": _key_selector(), "secret": _key_selector()})


def _relabelings(doc: str) -> Schema:
    spellings = [s for action in _ACTIONS for s in (action, _CAPITALISED.get(action, action.capitalize()))]
    item = structure(
        "",
        {
            "action": choice("", *spellings, default="replace"),
            "modulus": integer(format="int64"),
            "regex": text(),
            "replacement": text(),
            "separator": text(),
            "sourceLabels": list_of(text(pattern=_LABEL_NAME)),
            "targetLabel": text(),
        },
    )
    return list_of(item, doc)


def _oauth2() -> Schema:
    return structure(
        "",
        {
            "clientId*": _secret_or_config_map(),
            "clientSecret*": _key_selector(),
            "endpointParams": text_map(),
            "scopes": texts(),
            "tokenUrl*": text(),
        },
    )


def _tls() -> Schema:
    return structure(
        "",
        {
            "ca": _secret_or_config_map(),
            "caFile": text(),
            "cert": _secret_or_config_map(),
            "certFile": text(),
            "insecureSkipVerify": flag(),
            "keyFile": text(),
            "keySecret": _key_selector(),
            "serverName": text(),
        },
    )


def _endpoint() -> Schema:
    return structure(
        "",
        {
            "authorization": structure("", {"credentials": _key_selector(), "type": text()}),
            "basicAuth": structure("", {"password": _key_selector(), "username": _key_selector()}),
            "bearerTokenFile": text(),
            "bearerTokenSecret": _key_selector(),
            "enableHttp2": flag(),
            "filterRunning": flag(),
            "followRedirects": flag(),
            "honorLabels": flag(),
            "honorTimestamps": flag(),
            "interval": text("How often metrics are read.", pattern=_DURATION),
            "metricRelabelings": _relabelings("Changes to samples before they are stored."),
            "oauth2": _oauth2(),
            "params": map_of(texts()),
            "path": text(),
            "port": text(),
            "proxyUrl": text(),
            "relabelings": _relabelings("Changes to targets before they are read."),
            "scheme": choice("", "http", "https"),
            "scrapeTimeout": text("How long one reading may take.", pattern=_DURATION),
            "targetPort": int_or_string(),
            "tlsConfig": _tls(),
        },
    )


def service_monitor_spec() -> Schema:
    """monitoring.coreos.com/v1 ServiceMonitorSpec."""
    return structure(
        "The ServiceMonitor's spec.",
        {
            "attachMetadata": structure("", {"node": flag()}),
            "endpoints*": list_of(_endpoint()),
            "jobLabel": text(),
            "labelLimit": integer(format="int64"),
            "labelNameLengthLimit": integer(format="int64"),
            "labelValueLengthLimit": integer(format="int64"),
            "namespaceSelector": structure("", {"any": flag(), "matchNames": texts()}),
            "podTargetLabels": texts(),
            "sampleLimit": integer(format="int64"),
            "selector*": label_selector(""),
            "targetLabels": texts(),
            "targetLimit": integer(format="int64"),
        },
    )
