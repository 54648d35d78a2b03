"""What PostgreSQL does to execute the statements of queue/sql, and a queue that is full enough for it to matter."""

from store import STATEMENTS


def fill(store, place, lane, count, batch=None):
    """Narrow rows without content."""
    store.root.rows("INSERT INTO mailroom.queue (place_id, lane, source, recipients, generation, addressed, size, uid, posted_by, batch)"
                    " SELECT %s, %s, 0, 1, 0, false, 0, gen_random_uuid(), 'erp', %s FROM generate_series(1, %s)", place, lane, batch, count)


def plan(session, name, *parameters, options="FORMAT JSON"):
    """The nodes of the plan that a daemon gets, in a session as its own are."""
    arguments = "(" + ", ".join(["%s"] * len(parameters)) + ")" if parameters else ""
    session.rows(f"PREPARE planned AS\n{(STATEMENTS / f'{name}.sql').read_text()}")
    session.begin()
    try:
        for setting in ("enable_seqscan = off", "jit = off", "plan_cache_mode = force_generic_plan"):
            session.rows(f"SET LOCAL {setting}")
        [row] = session.rows(f"EXPLAIN ({options}) EXECUTE planned{arguments}", *parameters)
    finally:
        session.rollback()
        session.rows("DEALLOCATE planned")
    return list(nodes(row["QUERY PLAN"][0]["Plan"]))


def nodes(node):
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def reads(found, relation="queue"):
    """How many rows of a table a plan looked at."""
    scans = [node for node in found if node.get("Relation Name") == relation and "Scan" in node["Node Type"]]
    assert scans
    return sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)) * node["Actual Loops"] for node in scans)
