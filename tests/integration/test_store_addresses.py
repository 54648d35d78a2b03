"""What is an e-mail address: RFC 5321's Mailbox without quoted local part and address literal, UTF-8 by RFC 6531.

The settings and enqueue ask the database, the composer asks config/address.cpp; both must answer as this list does. The composer refuses more in one
point: domains of other scripts that have no form in US-ASCII (IDNA2008), which the database cannot tell.
"""

import pytest

from store import refused

GOOD = [
    "a@b", "anna@example.test", "anna.berg@mail.example.test", "a+tag@example.test", "o'neill@example.test", "!#$%&'*+-/=?^_`{|}~@example.test",
    "anna@localhost", "anna@1.2.3.4", "anna@xn--mller-kva.example", "anna@a-b.test", "anna@a--b.test", "ANNA@EXAMPLE.TEST", "1@2.3",
    "jürgen@müller.example", "用户@例子.广告", "😀@example.test", "anna@" + "ä" * 31 + ".test",
    "a" * 64 + "@example.test", "ä" * 32 + "@example.test", "anna@" + "a" * 63 + ".test",
    "a" * 64 + "@" + "b" * 63 + "." + "c" * 62 + "." + "d" * 62,  # 254 octets in all
]
BAD = {
    "": "is empty",
    "anna": "is not", "@": "is not", "anna@": "is not", "@example.test": "is not", "anna@@example.test": "is not", "a@b@c": "is not",
    "anna berg@example.test": "is not", "anna@exa mple.test": "is not", " anna@example.test": "is not", "anna@example.test ": "is not",
    '"anna berg"@example.test': "is not", '"anna"@example.test': "is not", '"a@b"@example.test': "is not",
    "anna@[127.0.0.1]": "is not", "anna@[IPv6:::1]": "is not",
    "anna..berg@example.test": "is not", ".anna@example.test": "is not", "anna.@example.test": "is not",
    "anna@example..test": "is not", "anna@.example.test": "is not", "anna@example.test.": "is not", "anna@.": "is not",
    "anna@-example.test": "is not", "anna@example-.test": "is not", "anna@exam_ple.test": "is not", "anna@exam!ple.test": "is not",
    "anna,ben@example.test": "is not", "anna@example.test,ben@example.test": "is not", "anna;ben@example.test": "is not", "anna:x@example.test": "is not",
    "<anna@example.test>": "is not", "anna@example.test>": "is not", "anna(x)@example.test": "is not", "anna\\@example.test": "is not",
    "anna@example.test\n": "is not", "anna\n@example.test": "is not", "anna@example.test\r\nRCPT TO:<x@y.z>": "is not", "anna\t@example.test": "is not",
    "anna\x01@example.test": "is not", "anna\x7f@example.test": "is not", "anna\u0085@example.test": "is not", "anna@exam\u009fple.test": "is not",
    "a" * 65 + "@example.test": "is too long", "ä" * 33 + "@example.test": "is too long",
    "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 62: "is too long",  # 255 octets
    "anna@" + "a" * 64 + ".test": "is not", "anna@" + "ä" * 32 + ".test": "is not",  # a label has at most 63 octets
}


def short(text):
    return ascii(text)[:60]


def problem(store, text):
    return store.root.value("SELECT mailroom.address_problem(%s)", text)


@pytest.mark.parametrize("address", [*GOOD, *BAD, *("a" * n + "@b.test" for n in range(55, 70)), *("a@" + "b" * n + ".test" for n in range(50, 70))], ids=short)
def test_what_looks_like_a_plain_address_is_one(shared_store, address):
    if shared_store.root.value("SELECT mailroom.is_plain_address(%s)", address):
        assert problem(shared_store, address) is None


def test_most_addresses_look_plain(shared_store):
    for address in ("a@b", "anna.berg@mail.example.test", "a+tag@example.test", "ANNA@A-B.TEST"):
        assert shared_store.root.value("SELECT mailroom.is_plain_address(%s)", address)


def test_an_address_made_of_any_short_text_is_plain_only_if_it_is_one(shared_store):
    """Every text of up to five characters of an alphabet that has what matters."""
    assert shared_store.root.value("""
        WITH RECURSIVE texts AS (SELECT '' AS t UNION ALL SELECT t || c FROM texts, unnest(string_to_array('a@.-_ü ', NULL)) c WHERE length(t) < 5)
        SELECT count(*) FROM texts WHERE mailroom.is_plain_address(t) AND mailroom.address_problem(t) IS NOT NULL""") == 0


@pytest.mark.parametrize("address", GOOD, ids=short)
def test_these_are_addresses(shared_store, address):
    assert problem(shared_store, address) is None
    assert shared_store.producer.enqueue(to=address)


@pytest.mark.parametrize("address", BAD, ids=short)
def test_these_are_none_and_the_reason_can_be_shown(shared_store, address):
    reason = problem(shared_store, address)
    assert BAD[address] in reason and len(reason) < 350
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in reason)


@pytest.mark.parametrize("address", [text for text in BAD if text == text.strip(" ") and not text.startswith("<")], ids=short)
def test_none_of_them_is_a_recipient_or_a_setting(shared_store, address):
    with refused("MR001", "to: "):
        shared_store.producer.enqueue(to=address)
    with refused("MR001", "cc[1]: "):
        shared_store.producer.enqueue(cc=["anna@example.test", {"name": "Anna", "address": address}])
    if address:
        with refused("MR002", "user.email: "):
            shared_store.administrator.save("user", "ANNA", email=address)


@pytest.mark.parametrize("text, name, address", [
    ("anna@example.test", "", "anna@example.test"),
    ("  anna@example.test  ", "", "anna@example.test"),
    ("<anna@example.test>", "", "anna@example.test"),
    ("Anna Berg <anna@example.test>", "Anna Berg", "anna@example.test"),
    ("Anna Berg<anna@example.test>", "Anna Berg", "anna@example.test"),
    ("Jürgen Müller < jürgen@müller.example >", "Jürgen Müller", "jürgen@müller.example"),
    ('"Berg, Anna" <anna@example.test>', "Berg, Anna", "anna@example.test"),
    ('"Anna \\"Ann\\" \\\\ Berg" <anna@example.test>', 'Anna "Ann" \\ Berg', "anna@example.test"),
    ("Anna <Berg> <anna@example.test>", "Anna <Berg>", "anna@example.test"),
    ("ben@example.test <anna@example.test>", "ben@example.test", "anna@example.test"),
    ({"name": "Berg, Anna", "address": "anna@example.test"}, "Berg, Anna", "anna@example.test"),
    ({"address": " anna@example.test "}, "", "anna@example.test"),
    ({"name": None, "address": "anna@example.test"}, "", "anna@example.test"),
])
def test_a_recipient_has_a_name_and_an_address(shared_store, text, name, address):
    uid = shared_store.producer.enqueue(to=text)
    assert shared_store.root.value("SELECT recipients FROM mailroom.content WHERE uid = %s::uuid", uid) == [{"kind": "to", "name": name, "address": address}]


@pytest.mark.parametrize("given", [
    1, True, [["anna@example.test"]], [1], {"name": "Anna"}, {"address": None}, {"address": "anna@example.test", "extra": 1},
    {"name": 1, "address": "anna@example.test"}, {"name": {"first": "Anna"}, "address": "anna@example.test"}, {"address": ["anna@example.test"]},
    "anna@example.test>", "<anna@example.test", "Anna <>", "Anna <anna@example.test> Berg", "anna@example.test, ben@example.test",
    "Anna\r\nBcc: x@y.z <anna@example.test>", {"name": "Anna\nBerg", "address": "anna@example.test"}, {"name": "\u0085", "address": "anna@example.test"},
    {"name": "x" * 301, "address": "anna@example.test"},
], ids=short)
def test_these_are_no_recipients(shared_store, given):
    with refused("MR001", "to"):
        shared_store.producer.enqueue(to=given)
    with refused("MR001", "reply_to"):
        shared_store.producer.enqueue(reply_to=given)
