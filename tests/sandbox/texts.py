"""Names and descriptions as people give them: in many scripts, with quotes, and some that look like code."""

from __future__ import annotations

NAMES = (
    "search engine hit",
    "signed up 🎉",
    "Añadido al carrito",
    'clicked "Buy now"',
    "visited site",
    "Überweisung bestätigt",
    "购买完成",
    "תשלום הושלם",
    "customer's first order",
    "تم التسجيل بنجاح",
    "購入ボタンを押した",
    "결제 완료",
    "upgraded: Free → Pro",
    "👩‍👩‍👧 family plan",
    "read <b>terms</b> & conditions",
    "exported a,b;c as CSV",
    "opened C:\\reports\\new",
    "Оплата прошла",
    "100% scrolled",
    "null",
    "cafe\u0301 visited",
    " padded on both sides ",
    "line\u2028separator",
    "1e5",
    "{{ template }} ${HOME}",
    "ad campaign hit",
    "invited 🧑🏽‍🚀 teammate",
    "tab\tin a name",
    "-- ; drop table events",
    "ท่องเว็บ",
)
"""Event and property names; longer lists repeat them with a number."""

DESCRIPTIONS = (
    None,
    "Sent by the web library after the thank-you page.",
    None,
    "Zwei Zeilen:\nnach dem „Danke“ gesendet.",
    None,
    'Old name: "purchased"\r\nSee also: refunds 💸',
    None,
    "",
)
"""Descriptions: most are absent, one is empty, some have line breaks."""

ACCOUNT_NAMES = (
    "My SaaS Account",
    "Café Zoë & Söhne GmbH 🚀",
    "株式会社サンプル",
    'The "Quoted" Company',
    "חברה לדוגמה",
)
PRODUCT_NAMES = (
    "My SaaS Product",
    "Tienda en línea 🛒",
    "iOS app (β)",
    "Backoffice 'internal'",
    "サンプル",
    "متجر",
)
REPORT_NAMES = (
    "My People Search",
    "Weekly funnel 📈",
    'Who said "no"?',
    "Cohort: août",
    "留存率",
    "Umsatz (täglich)",
)
METRIC_TITLES = (
    "Average Revenue Per Person",
    "Churn 😬",
    "Zeit bis zum Kauf",
    'Share of "Pro"',
    "月間売上",
    "Revenue",
)
CONTACTS = (
    {"name": None, "country": None, "phone": None},
    {"name": "Zoë Ünlü", "country": "Österreich", "phone": "+43 1 5550100"},
    {"name": None, "country": "JP", "phone": None},
)
