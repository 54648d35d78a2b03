"""A password belongs to the account and the server that it was entered for. Here it is eight octets: the database only keeps it."""

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


def enter(store, owner, account, octets=SEALED):
    store.administrator.rows("SELECT mailroom.store_password(%s, %s, %s)", owner, account, octets)


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
