"""What a move does, in words for a chat and for a director: English and Japanese."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.share import percent
from kirikae.move.judge import QUANTILES
from kirikae.move.trial import Trial

# ruff: noqa: E501
_LN10 = math.log(10)
LANGUAGES = ("en", "ja")
_WORDS = {
    "en": {
        "shift": "PASS · {name} goes on: {share} of the requests are on the new side now",
        "settle": "PASS · {name} is settled: everything is on the new side",
        "fail": "FAIL · {name} was backed out: everybody is on the old side again",
        "pressed": "BACKED OUT · {name}: somebody pressed the red button, everybody is on the old side again",
        "hold": "HELD · {name} stays at {share}",
        "resume": "{name} goes on at {share}",
        "start": "{name} has begun, at 0%",
        "retire": "{name} is retired; nothing was deleted",
        "abandon": "{name} was given up, at 0%",
        "approval": "PROVEN · {name} at {share} waits for an approval",
        "window": "PROVEN · {name} at {share} waits for its window",
        "counted": "new side: {bad_new:,} of {n_new:,} requests failed ({share}); old side: {bad_old:,} of {n_old:,}; evidence of harm {evidence} of {bar}",
        "slower": "; over the old side's {metrics}: {parts}",
        "undo": "to take it back: `{command}`",
        "on": "to go on: `{command}`",
        "ok": "to let it go on: `{command}`",
        "why": "{reason}",
        "approved": "approved by {who}",
        "planned": "{name} is planned; nothing is on the new side yet.",
        "prepared": "{name} is prepared; nothing is on the new side yet.",
        "ready": "{name} has begun; nothing is on the new side until both sides are shown to be ready.",
        "held0": "{name} stands still with everybody on the old side, because {reason}.",
        "held": "{name} stands still with {share} of the requests on the new side, because {reason}.",
        "settled": "{name} is settled: all requests are on the new side, and the old side still waits for its removal.",
        "retired": "{name} is done; the old side may be removed.",
        "abandoned": "{name} was given up; everybody is on the old side.",
        "good": "{share} of the requests are on the new side, and so far it does as well as the old one ({bad_new:,} of {n_new:,} failed there, {bad_old:,} of {n_old:,} on the old side); {then}",
        "harm": "The new side does harm ({bad_new:,} of {n_new:,} requests failed there, {bad_old:,} of {n_old:,} on the old side): everybody is being sent back.",
        "silent": "{share} of the requests should be on the new side, but there are no figures of both sides to judge by; nothing is changed until there are.",
        "proven": "it is proven for {next}, and waits only for its bake time, an approval or a window.",
        "eta": "about {needed:,} more requests, {time}, until it is proven enough for {next}.",
        "never": "at these figures it will not be proven enough for {next}: wait, or allow more.",
        "guard": "no step is taken, because {reason}.",
        "minutes": "{n} minutes",
        "hours": "{n} hours",
        "days": "{n} days",
        "unknown": "at a rate that is not known yet",
    },
    "ja": {
        "shift": "合格 · {name} を進めました：リクエストの {share} が新しい側です",
        "settle": "合格 · {name} が完了しました：すべて新しい側です",
        "fail": "不合格 · {name} を元に戻しました：全員が古い側に戻っています",
        "pressed": "停止 · {name}：非常ボタンが押され、全員が古い側に戻っています",
        "hold": "保留 · {name} は {share} のまま止まっています",
        "resume": "{name} を {share} から再開します",
        "start": "{name} を 0% で開始しました",
        "retire": "{name} を終了しました。削除したものはありません",
        "abandon": "{name} を 0% で取りやめました",
        "approval": "証明済み · {name}（{share}）は承認を待っています",
        "window": "証明済み · {name}（{share}）は許可された時間帯を待っています",
        "counted": "新しい側：{n_new:,} 件中 {bad_new:,} 件失敗（{share}）、古い側：{n_old:,} 件中 {bad_old:,} 件、有害の証拠 {evidence}（基準 {bar}）",
        "slower": "、古い側の {metrics} を超えた割合 {parts}",
        "undo": "元に戻すには: `{command}`",
        "on": "再開するには: `{command}`",
        "ok": "承認するには: `{command}`",
        "why": "理由：{reason}",
        "approved": "承認者 {who}",
        "planned": "{name} は計画中で、新しい側にはまだ何も流れていません。",
        "prepared": "{name} は準備済みで、新しい側にはまだ何も流れていません。",
        "ready": "{name} は開始しましたが、両側の準備が確認できるまで新しい側には何も流しません。",
        "held0": "{name} は全員が古い側にいる状態で止まっています（理由：{reason}）。",
        "held": "{name} は {share} が新しい側の状態で止まっています（理由：{reason}）。",
        "settled": "{name} は完了し、すべてのリクエストが新しい側です。古い側はまだ残っています。",
        "retired": "{name} は終了しました。古い側は撤去できます。",
        "abandoned": "{name} は取りやめました。全員が古い側です。",
        "good": "リクエストの {share} が新しい側に流れ、これまで古い側と変わりありません（失敗は新しい側 {n_new:,} 件中 {bad_new:,} 件、古い側 {n_old:,} 件中 {bad_old:,} 件）。{then}",
        "harm": "新しい側に問題があります（失敗は {n_new:,} 件中 {bad_new:,} 件、古い側は {n_old:,} 件中 {bad_old:,} 件）。全員を古い側に戻しています。",
        "silent": "{share} を新しい側に流す設定ですが、両側の数値がそろわないため判定できません。そろうまで何も変えません。",
        "proven": "{next} に進む証明は済み、慣らし時間・承認・時間帯だけを待っています。",
        "eta": "{next} に進む証明まで、あと約 {needed:,} 件（{time}）です。",
        "never": "今の数値では {next} に進む証明はできません。待つか、許容幅を広げてください。",
        "guard": "今は進めません（理由：{reason}）。",
        "minutes": "約 {n} 分",
        "hours": "約 {n} 時間",
        "days": "約 {n} 日",
        "unknown": "流量はまだ不明",
    },
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message: the verdict first, the number second, the command to undo third."""

    verdict: str
    number: str
    command: str

    def text(self) -> str:
        return "\n".join(line for line in (self.verdict, self.number, self.command) if line)


def counted(figures: Mapping[str, float], language: str) -> str:
    """Both sides' figures of a step in one line; empty where there are none."""
    if not figures.get("new_requests"):
        return ""
    words = _WORDS[language]
    n_new = figures["new_requests"]
    line = words["counted"].format(
        bad_new=round(figures["new_errors"]),
        n_new=round(n_new),
        share=f"{figures['new_errors'] / n_new:.2%}",
        bad_old=round(figures["old_errors"]),
        n_old=round(figures["old_requests"]),
        evidence=f"10^{figures['log_harm'] / _LN10:.1f}",
        bar=f"10^{figures['bar_harm'] / _LN10:.0f}",
    )
    timed = [metric for metric in QUANTILES if figures.get(f"timed_{metric}")]
    if timed:
        parts = "/".join(
            f"{figures[f'new_over_{metric}'] / figures[f'timed_{metric}']:.1%}" for metric in timed
        )
        line += words["slower"].format(metrics="/".join(timed), parts=parts)
    return line


def notice_of(
    order: Order, after: Move, figures: Mapping[str, float], approver: str, language: str
) -> Notice | None:
    """What an order that was carried out means to people; None for one that nobody needs to hear of."""
    words = _WORDS[language]
    name = after.name
    if order.verb is Verb.PREPARE:
        return None
    key = str(order.verb)
    if order.verb is Verb.BACK_OUT:
        key = "fail" if figures else "pressed"
    number = counted(figures, language)
    reason = order.reason.partition(". It is left as it is")[0]
    if reason and (not number or order.verb is Verb.HOLD):
        number = words["why"].format(reason=reason)
    if approver:
        number = (
            f"{number} · {words['approved'].format(who=approver.rpartition('/')[2])}".removeprefix(
                " · "
            )
        )
    match order.verb:
        case Verb.SHIFT | Verb.SETTLE | Verb.RESUME if after.live:
            command = words["undo"].format(command=f"kirikae back-out {name}")
        case Verb.BACK_OUT | Verb.HOLD:
            command = words["on"].format(command=f"kirikae move resume {name}")
        case Verb.START:
            command = words["undo"].format(command=f"kirikae move abandon {name}")
        case _:
            command = ""
    return Notice(words[key].format(name=name, share=percent(after.share)), number, command)


def notice_of_waiting(kind: str, move: Move, figures: Mapping[str, float], language: str) -> Notice:
    """``kind``: "approval" or "window"."""
    words = _WORDS[language]
    command = (
        words["ok"].format(command=f"kirikae move approve {move.name}")
        if kind == "approval"
        else ""
    )
    undo = words["undo"].format(command=f"kirikae back-out {move.name}") if move.share else ""
    return Notice(
        words[kind].format(name=move.name, share=percent(move.share)),
        counted(figures, language),
        " · ".join(filter(None, (command, undo))),
    )


def explain(move: Move, trial: Trial | None, language: str) -> str:
    """Why the move stands where it stands, in one sentence.  ``trial``: what its figures say, if it has any."""
    words = _WORDS[language]
    share = percent(move.share)
    if move.held:
        return words["held" if move.share else "held0"].format(
            name=move.name, share=share, reason=move.held.removeprefix("backed out: ")
        )
    if move.phase is not Phase.RUNNING:
        return words[str(move.phase)].format(name=move.name)
    if not move.share or trial is None:
        return words["ready"].format(name=move.name)
    evidence = trial.evidence()
    f = evidence.figures
    if not f["new_requests"]:
        return words["silent"].format(share=share)
    numbers = {
        "bad_new": round(f["new_errors"]),
        "n_new": round(f["new_requests"]),
        "bad_old": round(f["old_errors"]),
        "n_old": round(f["old_requests"]),
    }
    if evidence.verdict == "fail":
        return words["harm"].format(**numbers)
    return words["good"].format(share=share, then=_then(move, trial, words), **numbers)


def _then(move: Move, trial: Trial, words: Mapping[str, Any]) -> str:
    after = percent(move.next_share) if move.next_share else "100%"
    if trial.guard:
        return str(words["guard"].format(reason=trial.guard))
    needed = max(trial.needed().values(), default=0.0)
    if not needed:
        return str(words["proven"].format(next=after))
    if not math.isfinite(needed):
        return str(words["never"].format(next=after))
    rate_per_s = trial.rates()[1]
    time = duration(needed / rate_per_s, words) if rate_per_s else words["unknown"]
    return str(words["eta"].format(next=after, needed=round(needed), time=time))


def duration(seconds: float, words: Mapping[str, Any] = _WORDS["en"]) -> str:
    """A length of time for people."""
    if seconds < 5400:
        return str(words["minutes"].format(n=max(1, round(seconds / 60))))
    if seconds < 36 * 3600:
        return str(words["hours"].format(n=round(seconds / 3600)))
    return str(words["days"].format(n=round(seconds / 86400)))
