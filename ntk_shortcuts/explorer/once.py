"""Answers that are computed once, however many threads ask."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_KEPT = 256


def computed_once(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """A function that keeps its last 256 answers, by its arguments, which must hash.

    A thread that asks for what another one is computing waits for it. An error is not kept: who waits gets it, and who asks
    again computes again.

    Example:
        >>> calls = []
        >>> double = computed_once(lambda x: calls.append(x) or 2 * x)
        >>> double(3), double(3), calls
        (6, 6, [3])
    """
    lock = threading.Lock()
    answers: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Answer:
        with lock:
            answer, mine = answers.get(arguments), arguments not in answers
            if answer is None:
                answer = answers[arguments] = Future()
            answers.move_to_end(arguments)
            if len(answers) > _KEPT:
                answers.popitem(last=False)
        if mine:
            try:
                answer.set_result(function(*arguments))
            except BaseException as error:
                with lock:
                    answers.pop(arguments, None)
                answer.set_exception(error)
        return answer.result()

    return wrapper
