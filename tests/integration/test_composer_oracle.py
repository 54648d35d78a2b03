"""Composes thousands of messages and reads them back with two implementations of MIME that share nothing with ours: every
field, every name and every octet must be the one that was put in.

MAILROOM_BUILD names the build directory; MAILROOM_SEED another seed than the default; MAILROOM_MESSAGES their number.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mail_samples
import mime_oracle

SEED = os.environ.get("MAILROOM_SEED", "20261201")
COUNT = int(os.environ.get("MAILROOM_MESSAGES", "2500"))
CHUNK = 250  # messages to a test: a failure names its range, and the others still run
REFUSALS = "(control character|longer than 8192 octets|not an e-mail address|e-mail address is empty|not a media type|not a Content-ID|not a header name)"
PROCESSORS = len(os.sched_getaffinity(0))


class Readers:
    """One process for each range of messages, as many at once as there are processors; ahead of the tests that ask."""

    def __init__(self, pool):
        self._pool = pool
        self._ranges = {}

    def result(self, start):
        for ahead in range(start, min(COUNT, start + CHUNK * (PROCESSORS + 1)), CHUNK):
            if ahead not in self._ranges:
                self._ranges[ahead] = self._pool.submit(self._read, ahead)
        return self._ranges[start].result()

    @staticmethod
    def _read(start):
        count = min(CHUNK, COUNT - start)
        return subprocess.run([sys.executable, "-B", Path(mime_oracle.__file__), SEED, str(start), str(count)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def readers():
    mime_oracle.built_program("compose_sample")
    mime_oracle.built_program("gmime_reader", "libgmime-3.0-dev")
    with ThreadPoolExecutor(PROCESSORS) as pool:
        yield Readers(pool)
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
def test_two_other_implementations_read_back_what_was_composed(readers, start):
    done = readers.result(start)
    assert done.returncode == 0, f"seed {SEED}, from message {start}:\n{done.stdout}\n{done.stderr}"


def test_the_samples_have_every_length_around_the_limits_and_fifty_attachments():
    samples = [mail_samples.sample(SEED, number) for number in range(2500)]
    for limit in (78, 998):
        subjects = {len("Subject: " + one["subject"]) for one in samples}
        names = {len(f"{field}: " + one["name"]) for sample in samples for field, one in [("From", sample["from"])]}
        lists = {len("To: " + ", ".join(one["address"] for one in sample["to"])) for sample in samples}
        files = {len(one["name"]) for sample in samples for one in sample["attachments"]}
        for found in (subjects, names, lists, files):
            assert set(range(limit - 5, limit + 6)) <= found
    counts = {len(sample["attachments"]) for sample in samples}
    assert {0, 1, 2, 3, 8} <= counts and max(counts) >= 45
    assert max(sum("content_id" in one for one in sample["attachments"]) for sample in samples if sample["html"]) >= 5
    assert any(sample["text"] == "" for sample in samples) and any(sample["html"] == "" for sample in samples)


def test_the_readers_would_notice_a_fault(readers):
    """The oracle can fail: an octet, a name or a field that is another than the sample says is complained of."""
    good = mail_samples.GOOD
    octets = mime_oracle.compose([good])[0]
    [found] = mime_oracle.gmime_reads(mime_oracle.compose_to_base64([good]))
    faults = [{**good, "subject": "Good "}, {**good, "cc": []}, {**good, "text": "hallo\r\n"}, {**good, "reply_to": good["cc"]},
              {**good, "from": {**good["from"], "name": "Ann"}}, {**good, "attachments": []}, {**good, "headers": {"X-Note": "bad"}},
              *({**good, "attachments": [{**good["attachments"][0], key: value}]} for key, value in
                (("name", "other.pdf"), ("type", "text/csv"), ("content", "AA=="), ("content_id", "other@example.com")))]
    mime_oracle.python_agrees(good, octets)
    mime_oracle.gmime_agrees(good, octets, found)
    for fault in faults:
        with pytest.raises(AssertionError):
            mime_oracle.python_agrees(fault, octets)
        if fault["subject"] == good["subject"]:  # blanks at an end are beyond GMime
            with pytest.raises(AssertionError):
                mime_oracle.gmime_agrees(fault, octets, found)
    for bad in (octets.replace(b"\r\n", b"\n", 1), octets.replace(b"hello", b"hel\rlo"), octets.replace(b"hello", b"h\xc3\xa4llo"),
                octets.replace(b"hello", b"hel\0lo"), octets.replace(b"hello", b"hello " * 20), octets.replace(b"Good", b"Good " * 20)):
        assert bad != octets
        with pytest.raises(AssertionError):
            mime_oracle.octets_are_safe(bad)
    with pytest.raises(AssertionError):
        mime_oracle.header_is_whole(good, b"Bcc: x@example.com\r\n" + octets)


def test_what_no_header_may_have_is_refused_by_the_checks():
    """Each bad value stands where good ones are taken: the same sample without it is composed."""
    bad = mail_samples.bad_samples()
    assert not mime_oracle.try_compose([mail_samples.GOOD])[0].startswith("error:")
    answers = mime_oracle.try_compose([sample for _, sample in bad])
    taken = [(what, answer[:100]) for (what, _), answer in zip(bad, answers) if not re.match("error: .*?" + REFUSALS, answer)]
    assert taken == [], f"{len(taken)} of {len(bad)}"
    odd = mail_samples.odd_but_good_samples()
    refused = [what for (what, _), answer in zip(odd, mime_oracle.try_compose([sample for _, sample in odd])) if answer.startswith("error:")]
    assert refused == []
    assert mime_oracle.complaints([sample for _, sample in odd]) == []


def test_a_local_part_that_is_not_ascii_stands_in_utf_8_and_nothing_else_does():
    samples = []
    for number in range(50):
        generator = mail_samples.Generator(f"{SEED}-utf8-{number}")
        samples.append({**generator.message(number), "to": [{"name": "Jörg", "address": generator.address(non_ascii=True)}]})
    answers = mime_oracle.compose_to_base64(samples)
    for sample, octets, found in zip(samples, mime_oracle.compose(samples), mime_oracle.gmime_reads(answers)):
        mime_oracle.octets_are_safe(octets, ascii_only=False)
        local_part, _, domain = sample["to"][0]["address"].rpartition("@")
        [(name, address)] = mime_oracle.gmime_people(found["to"])
        assert name == "Jörg" and address == sample["to"][0]["address"], "GMime shows the domain as people write it"
        written = f"{local_part}@{domain.encode('idna').decode()}".encode()
        assert octets.count(b"<" + written + b">") == 1
        assert octets.replace(written, b"").isascii()
