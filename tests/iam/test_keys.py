"""The key ring tells secrets to those who know the access key, and to no log line."""

from rustfs.iam.keys import KeyRing, root_credentials


def test_a_secret_is_found_by_its_access_key_alone():
    ring = KeyRing(root_credentials("root", "first secret"), [root_credentials("other", "second secret")])
    assert ring.lookup("root") == "first secret"
    assert ring.lookup("other") == "second secret"
    assert ring.lookup("first secret") is None
    assert ring.lookup("") is None


def test_the_owner_is_the_same_at_every_start_and_another_for_every_key():
    owner_id = root_credentials("root", "a").owner_id
    assert owner_id == root_credentials("root", "changed").owner_id
    assert len(owner_id) == 64
    assert set(owner_id) <= set("0123456789abcdef")
    assert owner_id != root_credentials("other", "a").owner_id


def test_no_representation_shows_a_secret():
    credentials = root_credentials("root", "hush-hush")
    assert "hush-hush" not in repr(credentials)
    assert "hush-hush" not in f"{KeyRing(credentials)!r}"
