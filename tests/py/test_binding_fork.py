"""After fork() the child is told so, at once, and cannot harm what its parent has."""

from __future__ import annotations

from pathlib import Path

from binding import python

SCRIPT = """
import os, sys
import scistream
from binding import facilities, listening, stream
from pathlib import Path

def refused(call):
    try:
        call()
    except scistream.InvalidState as error:
        assert "forked" in str(error), error
    else:
        raise AssertionError("not refused")

with facilities(Path(sys.argv[1])) as both, listening() as (server, app):
    with scistream.Relay([("127.0.0.1:0", app)]) as relay:
        with both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[app]) as session:
            child = os.fork()
            if child == 0:
                refused(lambda: both.client.info("127.0.0.1:1"))
                refused(lambda: both.prod.endpoint)
                refused(both.prod.start)
                refused(lambda: both.prod.stop(0))
                refused(lambda: session.status())
                refused(session.release)
                refused(lambda: session.release(drain=True))
                refused(lambda: session.ready)
                refused(lambda: relay.stats())
                refused(lambda: relay.listeners)
                refused(lambda: scistream.UserClient(roots="x", state_dir="/nonexistent"))
                refused(lambda: scistream.ControlServer(port=0).start())
                for live in (both.prod, session, relay):
                    assert "of another process" in repr(live), repr(live)
                del relay
                sys.exit(7)  # leaves every `with` block, runs atexit and every destructor
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            # The child ended nothing here.
            sent, received = stream(server, session.listeners[0], 1_000_000)
            assert sent == received
            assert len(session.status()) == 2
    assert both.nothing_reserved()
print("ok")
"""


def test_a_forked_child_is_refused_and_ends_nothing(tmp_path: Path) -> None:
    assert python(SCRIPT, tmp_path, timeout=20) == "ok\n"


def test_a_child_of_an_unused_import_may_do_everything(tmp_path: Path) -> None:
    script = """
import os, sys
import scistream
from binding import facilities
from pathlib import Path
child = os.fork()
if child == 0:
    with facilities(Path(sys.argv[1])) as both:
        assert both.nothing_reserved()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
with facilities(Path(sys.argv[1])) as both:
    assert both.nothing_reserved()
print("ok")
"""
    assert python(script, tmp_path, timeout=20) == "ok\n"


def test_a_forked_child_leaves_the_facilities_of_its_parent_alone() -> None:
    """Whatever it does with them: their folder stays, and it can still be told what they are."""
    script = """
import os, sys, threading
import scistream
both = scistream.LocalFacilities()
both.start()
session = both.request(prod_app=["127.0.0.1:9"], uid="of-the-parent")
with both._turn:  # as if another thread were starting them
    for end in (sys.exit, lambda code: (both.close(), both.close(), os._exit(code))):
        child = os.fork()
        if child == 0:
            assert repr(both) == "<scistream.LocalFacilities of another process>"
            assert both._repr_html_() == "<p>two facilities, of another process</p>"
            assert "of-the-parent of another process" in session._repr_html_()
            assert "of-the-parent of another process" in repr(session)
            for call in (both.start, both.__enter__, both.request):
                try:
                    call()
                except scistream.InvalidState as error:
                    assert "forked" in str(error), error
                else:
                    raise AssertionError(call)
            end(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert len(session.status()) == 2
both.client.release("of-the-parent")
both.close()
print("ok")
"""
    assert python(script, timeout=20) == "ok\n"
