"""How far two readers of the same texts agree, label by label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Taxonomy
from training.annotation.sheets import Reading


@dataclass
class Agreement:
    """Counts of one label over the texts that both readers read."""

    both: int = 0
    one: int = 0
    neither: int = 0

    @property
    def f1(self) -> float:
        """F1 of one reader against the other, the same in both directions; 1 where neither used the label."""
        return 2 * self.both / total if (total := 2 * self.both + self.one) else 1.0

    @property
    def kappa(self) -> float:
        """Cohen's kappa under the mean of both readers' rates; 1 where neither used the label."""
        n = self.both + self.one + self.neither
        rate = (self.both + self.one / 2) / n if n else 0.0
        chance = rate**2 + (1 - rate) ** 2
        return (1 - self.one / n - chance) / (1 - chance) if n and chance < 1 else 1.0

    def add(self, first: bool, second: bool) -> None:
        """Counts one text."""
        self.both += first and second
        self.one += first != second
        self.neither += not first and not second


def agreement(
    first: Mapping[str, Reading], second: Mapping[str, Reading], languages: Mapping[str, str], taxonomy: Taxonomy
) -> dict[str, dict[str, Agreement]]:
    """Language (and `all`) -> label -> agreement, over the texts that stand in both; `pairs` counts pairs of either reader.

    `languages` tells the language of each text.
    """
    out: dict[str, dict[str, Agreement]] = {}
    for key in sorted(first.keys() & second.keys()):
        one, other = first[key], second[key]
        for group in ("all", languages[key]):
            counts = out.setdefault(group, {label: Agreement() for label in (*taxonomy.label_ids, "pairs")})
            for label in taxonomy.label_ids:
                counts[label].add(label in one.labels, label in other.labels)
            for pair in one.pairs | other.pairs:
                counts["pairs"].add(pair in one.pairs, pair in other.pairs)
    return out


def agreement_table(counts: Mapping[str, Mapping[str, Agreement]], taxonomy: Taxonomy) -> str:
    """F1 and kappa of each label and the macro F1 of each head, per language, as Markdown."""
    groups: Sequence[str] = ["all", *sorted(set(counts) - {"all"})]
    head = " | ".join(f"{group} F1 | {group} kappa | {group} texts" for group in groups)
    lines = [f"| label | {head} |", "|---" * (1 + 3 * len(groups)) + "|"]
    for label in (*taxonomy.label_ids, "pairs"):
        cells = [counts[group][label] for group in groups]
        shown = [f"{c.f1:.3f} | {'-' if label == 'pairs' else f'{c.kappa:.3f}'} | {c.both + c.one}" for c in cells]
        lines.append(f"| {label} | " + " | ".join(shown) + " |")
    for name in HEADS:
        values = [_head_f1([counts[g][label.id] for label in taxonomy.labels(name)], name in MULTI_LABEL_HEADS) for g in groups]
        lines.append(f"| **{name}** | " + " | ".join(f"{value:.3f} | - | -" for value in values) + " |")
    return "\n".join(lines)


def _head_f1(counts: Sequence[Agreement], multi_label: bool) -> float:
    """Macro F1 of a multi-label head; of a head with one class a text the share of texts in which both chose the same."""
    if multi_label:
        return sum(c.f1 for c in counts) / len(counts)
    return sum(c.both for c in counts) / max(1, sum(c.both + c.one / 2 for c in counts))
