"""Words of the sample data, in many scripts and with everything that text processing gets wrong."""

from __future__ import annotations

import json
from random import Random

SENTENCE_COUNT = 4096

# Weight and words by script.
_WORDS = {
    "latin": (
        40,
        "the report is late again who has seen it please send both files before noon and thanks "
        "meeting moved to room four budget review draft looks good ship it tomorrow maybe later",
    ),
    "diacritics": (
        14,
        "Grüße aus Köln schön heiße Straße élève déjà façon naïve żółć gęślą jaźń příliš žluťoučký "
        "kůň ñandú corazón ação não İstanbul ığdır ș ț đường Việt fjörður þorn œuvre",
    ),
    "cyrillic": (8, "привет отчёт готов завтра встреча в десять спасибо файл съешь ещё їжак ґанок"),
    "greek": (4, "καλημέρα η αναφορά είναι έτοιμη αύριο ευχαριστώ Ελλάδα ώρα ϊ ΐ"),
    "arabic": (5, "مرحبا التقرير جاهز غدا شكرا الاجتماع في الساعة العاشرة ملف لا إله"),
    "hebrew": (4, "שלום הדוח מוכן מחר תודה פגישה בשעה עשר קובץ בְּרֵאשִׁית"),
    "devanagari": (4, "नमस्ते रिपोर्ट तैयार है कल धन्यवाद बैठक दस बजे क्षत्रिय श्री"),
    "thai": (3, "สวัสดี รายงาน พร้อมแล้ว พรุ่งนี้ ขอบคุณ ประชุม น้ำ กำลัง"),
    "han": (8, "你好 报告 已经 完成 明天 开会 謝謝 文件 東京 会議 です ありがとう カタカナ 𠮷野家"),
    "korean": (3, "안녕하세요 보고서 준비 내일 회의 감사합니다 파일 한글"),
    "emoji": (4, "👍 🎉 👩‍👩‍👧‍👦 🏳️‍🌈 🇪🇺 👋🏽 ❤️‍🔥 1️⃣ 🧑🏿‍🚀 ✅"),
    "awkward": (
        3,
        '"quoted" C:\\temp\\new \\n \\u0041 line\nbreak tab\tstop \'single\' {"a":1} %s \\. '
        "</script> e\u0301 \u200d \u2028 \ufeff \U0010ffff \x7f",
    ),
}
_VOCABULARIES = [words.split(" ") for _, words in _WORDS.values()]
_WEIGHTS = [weight for weight, _ in _WORDS.values()]

NAMES = (
    "Anna Berg", "Žofie Nováková", "Łukasz Wójcik", "José Muñoz", "Мария Іваненко",
    "Νίκος Παππάς", "ליאת כהן", "فاطمة الزهراء", "अनिता शर्मा", "สมชาย ใจดี", "王小明",
    "田中 さくら", "김민준", "Zoë “Zed” O'Neil", "Đặng Thị Hoa", "Ada 👩🏽‍💻",
)  # fmt: skip
ROOM_NAMES = (
    "Lobby", "Projekt Grün", "Планёрка", "Γενικά", "خطة", "שיחה", "योजना", "แผน", "企画会議",
    "잡담",
)  # fmt: skip
FILE_NAMES = (
    "photo.png", "Übersicht.pdf", "отчёт.txt", "報告 書.pdf", "تقرير.txt", "holiday 🏝️.png",
    'a "quoted" name.txt', "C:\\temp\\notes.txt", "minutes: part 1/2.pdf", ".hidden.txt",
)  # fmt: skip


def make_random(*seed: object) -> Random:
    """Return a generator that gives the same numbers for the same seed on every platform."""
    return Random("/".join(map(str, seed)))  # noqa: S311 — sample data, not cryptography


def make_sentences(seed: int) -> list[str]:
    """Return sentences escaped for use inside a JSON string, so that they can be concatenated."""
    rng = make_random("sentences", seed)
    vocabularies = rng.choices(_VOCABULARIES, _WEIGHTS, k=SENTENCE_COUNT)
    texts = (" ".join(rng.choices(words, k=rng.randint(3, 16))) for words in vocabularies)
    return [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts]
