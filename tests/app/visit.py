"""One visit to the app in a browser."""

from urllib.parse import urlparse

import pytest


class Visit:
    """One page, and everything that went wrong on it."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(viewport={"width": 1366, "height": 768}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.problems: list[str] = []
        self.hosts: set[str | None] = set()
        self.page.on("console", lambda message: self._log(message))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlparse(request.url).hostname))
        self.page.goto(url)
        self.page.wait_for_selector("#go")

    def _log(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def upload(self, role, path):
        self.page.set_input_files(f"#{role} input[type=file]", path)
        self.page.wait_for_function(f"document.querySelector('#{role} img')?.naturalWidth > 0")

    def set_number(self, selector, value):
        """Type a number; a field that has just appeared may take its first value back once."""
        for _ in range(5):
            self.page.fill(selector, value)
            self.page.press(selector, "Tab")
            self.page.wait_for_timeout(150)
            if self.page.input_value(selector) == value:
                return
        pytest.fail(f"{selector} does not take {value}")

    def text(self, selector):
        return self.page.inner_text(selector)

    def wait_for_text(self, selector, pattern, timeout=30_000):
        condition = "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.innerText)"
        try:
            self.page.wait_for_function(condition, arg=[selector, pattern], timeout=timeout)
        except Exception as error:
            if type(error).__name__ != "TimeoutError":  # playwright need not be installed to import this file
                raise
            toasts = self.page.locator("[data-testid=toast-body]").all_inner_texts()
            shown = self.page.locator(selector).all_inner_texts()
            pytest.fail(f"{selector} shows {shown}, not {pattern!r}; messages: {toasts}; problems: {self.problems}")

    def ask_about_the_middle(self):
        self.page.wait_for_function("document.querySelector('#picker img')?.naturalWidth > 0")
        self.page.locator("#picker img").click()
        self.wait_for_text("#words", r"(match|guess).*\(\d+%\)")

    def width_of_content(self):
        return self.page.evaluate("document.documentElement.scrollWidth")

    def check(self):
        self.context.close()
        assert self.problems == []
        assert self.hosts <= {"127.0.0.1", None, ""}
