import re

import pytest

from rtnb.protocol.events import ClientIds, server_id


@pytest.mark.parametrize("prefix", ["event", "item", "resp", "conv", "sess"])
def test_a_servers_ids_look_like_the_hosted_services(prefix):
    assert re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{21}}", server_id(prefix))


def test_a_calls_id_is_shorter():
    assert re.fullmatch(r"call_[0-9A-Za-z]{16}", server_id("call"))


def test_a_servers_ids_are_fresh():
    assert len({server_id("item") for _ in range(10_000)}) == 10_000


def test_a_clients_ids_are_counted_by_prefix():
    ids = ClientIds()
    assert [ids("event"), ids("item"), ids("event")] == ["event_c0001", "item_c0001", "event_c0002"]
    assert ClientIds()("event") == "event_c0001"
    for _ in range(12_000):
        last = ids("event")
    assert last == "event_c12002"


def test_a_clients_id_is_never_a_servers():
    ids = ClientIds()
    assert all(len(ids("item")) < 20 for _ in range(100))
