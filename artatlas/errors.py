"""The one exception that means "the user can fix this"."""


class UserError(Exception):
    """A mistake in the inputs or settings, told as fact and remedy; `cli` prints it without a traceback, exit 2.

    Each argument is one line, everything after "error: ":
    `<file or key>: <what is wrong, with the value>. <What to do>.`
    Several arguments are several independent problems, printed one under the other.
    """

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages

    def __str__(self) -> str:
        return "\n".join(self.messages)
