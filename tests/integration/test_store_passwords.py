"""A password belongs to the account and the server that it was entered for. Here it is eight octets: the database only keeps it."""

import json

import pytest

from store import refused

SEALED = b"\x01sealed\xff"


@pytest.fixture
def anna(store):
    """A user with an inherited server, and a password for it; her id."""
    store.administrator.save("general", account="erp", server="shared.test")
    store.administrator.save("user", "ANNA", email="anna@example.test")
    anna = store.root.value("SELECT id FROM mailroom.users WHERE code = 'ANNA'")
    enter(store, anna, "anna@example.test")
    enter(store, None, "erp")
    return anna


def enter(store, owner, account, octets=SEALED, **read):
    store.administrator.rows("SELECT mailroom.store_password(%s, %s, %s, %s)", owner, account, octets, json.dumps(read))


def password(store, owner):
    found = store.root.value("SELECT password FROM mailroom.users WHERE id = %s", owner) if owner else store.root.value("SELECT password FROM mailroom.general")
    return found and bytes(found)


def test_storing_a_password_stores_its_account(store, anna):
    assert (password(store, anna), password(store, None)) == (SEALED, SEALED)
    assert store.root.value("SELECT account FROM mailroom.users WHERE id = %s", anna) == "anna@example.test"
    enter(store, anna, "other", b"2")
    assert (password(store, anna), store.root.value("SELECT account FROM mailroom.users WHERE id = %s", anna)) == (b"2", "other")


def test_a_password_for_nobody_is_refused(store):
    with refused("MR002", "there is no user with the id 4711"):
        enter(store, 4711, "x")


@pytest.mark.parametrize("settings", [{"name": "Anna Berg"}, {"mode": "office365"}, {"port": 2525}, {"email": "anna.berg@example.test"}, {"enabled": False},
                                      {"account": " anna@example.test "}, {"mode": "smtp"}, {"mode": "smtp", "server": "shared.test"}], ids=str)
def test_a_users_password_stays_while_account_and_server_do(store, anna, settings):
    assert store.administrator.save("user", "ANNA", **settings) == []
    assert password(store, anna) == SEALED


@pytest.mark.parametrize("settings", [{"account": "ben@example.test"}, {"account": ""}, {"mode": "smtp", "server": "other.test"}, {"server": "other.test"}], ids=str)
def test_a_users_password_goes_with_another_account_or_server_and_this_is_said(store, anna, settings):
    [advice] = store.administrator.save("user", "ANNA", **settings)
    assert "user ANNA: the password belonged to another account or server" in advice
    assert password(store, anna) is None


def test_a_password_for_a_users_own_server_goes_when_that_is_given_up(store, anna):
    store.administrator.save("user", "ANNA", mode="smtp", server="annas.test")
    enter(store, anna, "anna@example.test")
    store.administrator.save("user", "ANNA", server="")
    assert password(store, anna) is None


def test_a_password_outlives_a_server_that_is_blanked_and_goes_with_another_one(store, anna):
    store.administrator.save("general", server="")
    store.administrator.save("user", "ANNA", name="Anna")
    assert (password(store, anna), password(store, None)) == (SEALED, SEALED)
    [advice] = store.administrator.save("user", "ANNA", mode="smtp", server="evil.test")
    assert "user ANNA: the password belonged to another account or server" in advice
    assert any("general: the password belonged" in line for line in store.administrator.save("general", server="evil.test"))
    assert (password(store, anna), password(store, None)) == (None, None)


def test_a_blank_server_is_no_way_around_the_confirmation(store, anna):
    store.administrator.save("general", server="")
    with refused("MR007", '1 password of users who inherit the server would be shown to "other.test"'):
        store.administrator.save("general", server="other.test")
    store.administrator.save("general", server="shared.test")  # which it was entered for
    store.administrator.save("general", user_server="other.test", confirm=True)
    store.administrator.save("general", user_port=26)  # meant once, not asked again
    with refused("MR007", 'would be shown to "shared.test"'):
        store.administrator.save("general", user_server="")
    assert password(store, anna) == SEALED


def test_a_password_that_was_entered_without_a_server_is_for_the_first_one(store):
    store.administrator.save("user", "BEN", email="ben@example.test")
    ben = store.root.value("SELECT id FROM mailroom.users")
    enter(store, ben, "ben@example.test")
    store.administrator.save("user", "BEN", mode="smtp", server="first.test")
    assert password(store, ben) == SEALED
    store.administrator.save("user", "BEN", server="")
    store.administrator.save("user", "BEN", server="second.test")
    assert password(store, ben) is None


def imported(store, anna, general, **options):
    given = {"general": general, "users": [anna]}
    store.administrator.rows("SELECT mailroom.import_settings(%s, %s)", json.dumps(given), json.dumps(options))


def test_an_import_shows_no_password_to_another_server_unless_it_is_meant(store, anna):
    with refused("MR007", '1 password of users who inherit the server would be shown to "other.test"'):
        imported(store, {"code": "ANNA", "name": "Anna"}, {"server": "other.test"})
    imported(store, {"code": "ANNA", "name": "Anna"}, {"server": "other.test"}, confirm=True)
    assert password(store, anna) == SEALED
    imported(store, {"code": "ANNA", "mode": "smtp"}, {"server": "third.test"})  # theirs from then on, and nobody was asked
    assert password(store, anna) is None


def versions(store, anna):
    """As somebody has read them."""
    return {"if_version": store.root.value("SELECT version FROM mailroom.users WHERE id = %s", anna),
            "if_general_version": store.root.value("SELECT version FROM mailroom.general")}


@pytest.mark.parametrize("kind, code, settings, named", [("user", ("ANNA",), {"account": "ben@example.test"}, "user ANNA: was changed since you read it"),
                                                         ("general", (), {"server": "other.test"}, "general: was changed since you read it")])
def test_a_password_for_what_somebody_has_changed_meanwhile_is_refused(store, anna, kind, code, settings, named):
    read = versions(store, anna)
    enter(store, anna, "anna@example.test", b"2", **read)
    read = versions(store, anna)
    store.administrator.save(kind, *code, **settings, **({"confirm": True} if kind == "general" else {}))
    before = password(store, anna)
    with refused("MR006", named):
        enter(store, anna, "anna@example.test", b"3", **read)
    assert password(store, anna) == before
    if kind == "general":
        with refused("MR006", named):
            enter(store, None, "erp", b"3", if_version=read["if_general_version"])


def test_a_password_for_ones_own_server_may_be_entered_while_general_is_saved(store, anna):
    store.administrator.save("user", "ANNA", mode="smtp", server="annas.test")
    read = versions(store, anna)
    store.administrator.save("general", port=26)
    enter(store, anna, "anna@example.test", b"2", **read)
    assert password(store, anna) == b"2"


def test_no_key_at_all_seals_nothing(store, anna):
    for statement in ("SELECT mailroom.seal_with(NULL)", "SELECT mailroom.store_password(NULL, 'erp', NULL)"):
        with refused("MR002", "no key is named"):
            store.administrator.rows(statement)
    assert password(store, None) == SEALED and store.root.value("SELECT key_id FROM mailroom.installation") == SEALED.hex()


def test_the_shared_password_stays_or_goes_by_the_same_rule(store, anna):
    assert store.administrator.save("general", port=25, from_="erp@example.test", mode="smtp") == []
    assert password(store, None) == SEALED
    assert "general: the password belonged to another account or server" in store.administrator.save("general", server="other.test", confirm=True)[0]
    assert password(store, None) is None
    enter(store, None, "erp")
    store.administrator.save("general", account="erp2")
    assert password(store, None) is None


def test_saving_another_inherited_server_says_how_many_passwords_it_will_be_shown_to(store, anna):
    with refused("MR007", '1 password of users who inherit the server would be shown to "users.test"'):
        store.administrator.save("general", user_server="users.test")
    said = "\n".join(store.administrator.save("general", user_server="users.test", confirm=True))
    assert '1 password of users who inherit the server will be shown to "users.test"' in said


def test_two_who_save_general_at_once_both_succeed(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save("general", server="first.test")
    with store.blocked(second, lambda: second.save("general", account="second")) as later:
        first.commit()
        later.result()
    assert store.root.rows("SELECT server, account FROM mailroom.general") == [{"server": "first.test", "account": "second"}]


def test_a_password_that_is_stored_while_general_is_saved_is_not_lost(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save("general", port=25)
    with store.blocked(second, lambda: second.rows("SELECT mailroom.store_password(NULL, 'erp', %s)", SEALED)) as later:
        first.commit()
        later.result()
    assert password(store, None) == SEALED


def test_two_who_make_the_same_user_at_once_make_one(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save("user", "ANNA", email="anna@example.test")
    with store.blocked(second, lambda: second.save("user", "ANNA", name="Anna")) as later:
        first.commit()
        later.result()
    assert store.root.rows("SELECT email, name FROM mailroom.users") == [{"email": "anna@example.test", "name": "Anna"}]


OLD, NEW, UNUSED = "01" * 8, "02" * 8, "03" * 8


@pytest.mark.parametrize("ours, theirs, leaves", [
    ([NEW], [OLD, NEW], True), ([OLD], [NEW], True), ([], [NEW], True), ([NEW], [OLD], False), ([OLD, NEW], [OLD, NEW], False),
    ([NEW], [NEW, UNUSED], False), ([NEW, UNUSED], [OLD, NEW], False), ([OLD, NEW], [], False)],
    ids=["lacks an older key", "lacks the newest", "has none", "has the newest", "has both", "lacks what seals nothing", "has one that the other lacks", "the other has none"])
def test_a_dispatcher_leaves_mail_to_one_that_opens_all_it_can_and_more(store, anna, ours, theirs, leaves):
    """General's password is sealed with an older key, Anna's with the newest."""
    enter(store, None, "erp", bytes.fromhex(OLD) + b"sealed")
    enter(store, anna, "anna@example.test", bytes.fromhex(NEW) + b"sealed")
    one, other = (store.worker.run("register", "host", 1, "0.1.0", keys or None, 20_000, "none")[0]["id"] for keys in (ours, theirs))
    assert store.worker.run("beat", one, True)[0]["key_is_elsewhere"] is leaves
    store.root.rows("UPDATE mailroom.dispatcher SET beat_at = beat_at - interval '1 hour' WHERE id = %s", other)
    assert not store.worker.run("beat", one, True)[0]["key_is_elsewhere"], "nobody else lives"
