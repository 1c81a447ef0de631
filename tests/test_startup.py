import gc
import subprocess
import sys
import threading
import time

import pytest

from hindcast.importing import without_collections
from hindcast.process_age import process_age_seconds


def test_the_collector_rests_until_the_last_import_is_done() -> None:
    with without_collections("a"):
        with without_collections("b"):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_works_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), without_collections("nothing"):
        raise ImportError
    assert gc.isenabled()


def test_imports_of_two_threads_overlap_and_the_collector_works_afterwards() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run() -> None:
        with without_collections("aside"):
            begun.set()
            go_on.wait(5)

    thread = threading.Thread(target=run)
    with without_collections("here"):
        thread.start()
        begun.wait(5)
    is_off_meanwhile = not gc.isenabled()
    go_on.set()
    thread.join()
    assert is_off_meanwhile and gc.isenabled()


def test_a_process_knows_its_age_to_a_tenth_of_a_second() -> None:
    code = "from hindcast.process_age import process_age_seconds as age; print(age())"
    began = time.time()
    told = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0 < told < time.time() - began + 0.1
    assert process_age_seconds() > told


def test_what_one_expectation_needs_is_imported_when_it_is_used() -> None:
    code = (
        "import sys; from expectations.engine import load_great_expectations; load_great_expectations();"
        "print([name for name in ('scipy.stats._stats_py', 'altair.vegalite') if name in sys.modules]);"
        "from scipy import stats; import altair, importlib.util;"
        "print(stats.norm.cdf(0), altair.Chart.__name__, importlib.util.find_spec('altair').name)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "0.5 Chart altair"]


def test_an_expectation_that_needs_them_gets_them() -> None:
    code = (
        "import pandas; from expectations.engine import load_great_expectations; gx = load_great_expectations();"
        "source = gx.get_context(mode='ephemeral').data_sources.add_pandas('frames').add_dataframe_asset('frame');"
        "frame = pandas.DataFrame({'a': ['x', 'y'] * 9});"
        "batch = source.add_batch_definition_whole_dataframe('all').get_batch({'dataframe': frame});"
        "shares = {'values': ['x', 'y'], 'weights': [0.5, 0.5]};"
        "kind = gx.expectations.ExpectColumnKLDivergenceToBeLessThan;"
        "print(batch.validate(kind(column='a', partition_object=shares, threshold=1)).success)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"
