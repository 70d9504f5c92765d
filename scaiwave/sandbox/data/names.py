"""Names of the sample people, tenants, groups and partners, in several scripts.

Each personal name has a spelling for e-mail addresses. The names are invented; all mail domains end
in `.example`, which is reserved (RFC 2606).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import msgspec


class NameLocale(NamedTuple):
    """`given` and `family` hold `name=spelling in e-mail addresses` pairs.

    `family_first` is the order in the display name.
    """

    given: str
    family: str
    family_first: bool = False


LOCALES = (
    NameLocale(
        "Anna=anna;Emily=emily;James=james;Grace=grace;Oliver=oliver;Ruth=ruth;Samuel=samuel;"
        "Siobhán=siobhan;Seán=sean;Mary-Jane=maryjane;Daniel=daniel;Hannah=hannah",
        "Smith=smith;O'Brien=obrien;Clarke=clarke;MacLeod=macleod;Walker=walker;Hughes=hughes;"
        "Ó Súilleabháin=osuilleabhain;Fairweather-Jones=fairweatherjones;Bell=bell;Wood=wood",
    ),
    NameLocale(
        "Jürgen=juergen;Zoë=zoe;Björn=bjoern;Käthe=kaethe;Uwe=uwe;Annegret=annegret;Jörg=joerg;"
        "Lieselotte=lieselotte;Max=max;Ümit=uemit;Sabine=sabine",
        "Müller=mueller;Groß=gross;Schröder=schroeder;Weiß=weiss;von der Heide=vonderheide;"
        "Jäger=jaeger;Köhler=koehler;Böhm=boehm;Schmidt=schmidt;Vogel=vogel",
    ),
    NameLocale(
        "Łukasz=lukasz;Małgorzata=malgorzata;Paweł=pawel;Agnieszka=agnieszka;Jiří=jiri;"
        "Žofie=zofie;Ondřej=ondrej;Šárka=sarka;Zsófia=zsofia;Ágnes=agnes;Ștefan=stefan",
        "Wójcik=wojcik;Kowalczyk=kowalczyk;Dąbrowska=dabrowska;Novák=novak;Dvořák=dvorak;"
        "Szabó=szabo;Nagy=nagy;Țepeș=tepes;Živković=zivkovic;Hlaváček=hlavacek",
    ),
    NameLocale(
        "José=jose;María=maria;Iñaki=inaki;João=joao;Conceição=conceicao;François=francois;"
        "Gaëlle=gaelle;Noémie=noemie;Àlex=alex;Nicolò=nicolo;Chloé=chloe",
        "García=garcia;Núñez=nunez;de la Cruz=delacruz;Gonçalves=goncalves;Araújo=araujo;"
        "Lefèvre=lefevre;D'Angelo=dangelo;Bénard=benard;Peña=pena;Rossi=rossi",
    ),
    NameLocale(
        "Åsa=asa;Søren=soren;Øyvind=oyvind;Aino=aino;Päivi=paivi;Guðrún=gudrun;Þór=thor;Jūratė=jurate;"
        "Mārtiņš=martins;Kärt=kart;Ingrid=ingrid",
        "Ångström=angstrom;Sørensen=sorensen;Bjørnstad=bjornstad;Mäkinen=makinen;Hämäläinen=hamalainen;"
        "Jónsdóttir=jonsdottir;Kazlauskienė=kazlauskiene;Bērziņš=berzins;Lind=lind",
    ),
    NameLocale(
        "Γιώργος=giorgos;Ελένη=eleni;Νίκος=nikos;Μαρία=maria;Ιωάννης=ioannis;Σοφία=sofia;"
        "Κωνσταντίνος=konstantinos;Άννα=anna;Δημήτρης=dimitris",
        "Παπαδόπουλος=papadopoulos;Γεωργίου=georgiou;Αλεξίου=alexiou;Νικολάου=nikolaou;"
        "Οικονόμου=oikonomou;Βασιλείου=vasileiou;Αντωνίου=antoniou",
    ),
    NameLocale(
        "Олександр=oleksandr;Наталія=nataliia;Дмитро=dmytro;Їжакевич=yizhakevych;Иван=ivan;"
        "Екатерина=ekaterina;Фёдор=fyodor;Ђорђе=djordje;Љиљана=ljiljana;Айгүл=aigul",
        "Шевченко=shevchenko;Коваленко=kovalenko;Щербак=shcherbak;Соловьёв=solovyov;"
        "Петровић=petrovic;Георгиева=georgieva;Ткачук=tkachuk;Жуков=zhukov",
    ),
    NameLocale(
        "محمد=mohammed;فاطمة=fatima;أحمد=ahmed;ليلى=layla;يوسف=yusuf;زينب=zaynab;خالد=khaled;"
        "مریم=maryam;علی‌رضا=alireza;نور=noor",
        "الحسن=alhassan;المصري=almasri;حداد=haddad;بن علي=benali;الزهراني=alzahrani;"
        "منصور=mansour;رضایی=rezaei;خوري=khoury",
    ),
    NameLocale(
        "伟=wei;秀英=xiuying;建国=jianguo;丽=li;子涵=zihan;雨桐=yutong;志明=zhiming;美玲=meiling;浩然=haoran;静=jing",
        "王=wang;李=li;张=zhang;刘=liu;陈=chen;欧阳=ouyang;司马=sima;黄=huang;趙=zhao;𠮷田=yoshida",
        True,
    ),
    NameLocale(
        "अनन्या=ananya;राहुल=rahul;प्रिया=priya;विक्रम=vikram;लक्ष्मी=lakshmi;कृष्ण=krishna;दीपा=deepa;आदित्य=aditya;"
        "நிலா=nila;முருகன்=murugan",
        "शर्मा=sharma;सिंह=singh;गुप्ता=gupta;देशपांडे=deshpande;कुलकर्णी=kulkarni;मिश्रा=mishra;அய்யர்=iyer;চৌধুরী=chowdhury",
    ),
    NameLocale(
        "서연=seoyeon;민준=minjun;지우=jiwoo;하은=haeun;도윤=doyun;수빈=subin;예준=yejun;영희=younghee",
        "김=kim;이=lee;박=park;최=choi;정=jung;남궁=namgung;황보=hwangbo;강=kang",
        True,
    ),
    NameLocale(
        "さくら=sakura;健太=kenta;陽子=yoko;大輔=daisuke;ユキ=yuki;直美=naomi;翔=sho;恵子=keiko",
        "佐藤=sato;鈴木=suzuki;高橋=takahashi;田中=tanaka;渡邉=watanabe;髙木=takagi;山本=yamamoto",
        True,
    ),
    NameLocale(
        "דוד=david;נועה=noa;יעל=yael;אברהם=avraham;שירה=shira;Nguyễn=nguyen;Thị Hồng=thihong;"
        "Đức=duc;สมชาย=somchai;มาลี=malee;Wanjirũ=wanjiru;Ọláyínká=olayinka",
        "כהן=cohen;לוי=levi;פרידמן=friedman;Trần=tran;Đặng=dang;ศรีสุข=srisuk;Mwangi=mwangi;"
        "Adébáyò=adebayo;Ngũgĩ=ngugi",
    ),
)


def _split_words(text: str) -> list[str]:
    return text.split(";")


GROUP_NAMES = _split_words(
    "Engineering;Sales;Kundendienst;Recherche et développement;Finance;Personalabteilung;Legal;"
    "Διοίκηση;Склад;المبيعات;产品部;विपणन;영업팀;Security;Facilities;Works Council;Board;Interns;"
    "Łączność;Mjukvaruutveckling;Night Shift;On-call;Data & Analytics;All hands"
)

COMPANY_NAMES = _split_words(
    "Acme;Nordlys;Blaue Linie;Kestrel;Žluťásek;Mirador;Åkerlund;Aurora;Thalassa;Волна;Nile;Hikari;"
    "Sequoia;Banyan;Tramontana;Granit;Lantern;Polder;Saffron;Baobab"
)
COMPANY_SLUGS = _split_words(
    "acme;nordlys;blaue-linie;kestrel;zlutasek;mirador;akerlund;aurora;thalassa;volna;nile;hikari;"
    "sequoia;banyan;tramontana;granit;lantern;polder;saffron;baobab"
)
COMPANY_SUFFIXES = _split_words(
    "Logistics;GmbH & Co. KG;Health;Foods;Energy;Schools;Shipping;Robotics;Insurance;"
    "Works;Media;Travel;Chemicals;Textiles"
)
PARTNER_NAMES = _split_words("Alder;Birch;Cedar;Dogwood;Elm;Fir;Ginkgo;Hazel")


class SpelledName(NamedTuple):
    """A full name as JSON members with and without display name, and as an e-mail local part."""

    full: str
    plain: str
    local: str


@functools.cache
def build_names(locale_index: int) -> tuple[SpelledName, ...]:
    """Return every given name with every family name of one locale, encoded once per process."""
    locale = LOCALES[locale_index]
    return tuple(
        _build_name(locale, given.partition("="), family.partition("="))
        for given in locale.given.split(";")
        for family in locale.family.split(";")
    )


def _build_name(
    locale: NameLocale, given: tuple[str, str, str], family: tuple[str, str, str]
) -> SpelledName:
    names = {"first_name": given[0], "last_name": family[0]}
    display_name = (family[0] + given[0]) if locale.family_first else f"{given[0]} {family[0]}"
    return SpelledName(
        _encode_members({**names, "display_name": display_name}),
        _encode_members(names),
        f"{given[2]}.{family[2]}",
    )


def _encode_members(fields: dict[str, str]) -> str:
    """Return a JSON object without its braces, to be inserted into another one."""
    return msgspec.json.encode(fields).decode()[1:-1]


def number_word(words: list[str], position: int, separator: str = " ") -> str:
    """Return the word at `position`, from the second round on with the round's number appended."""
    round_, offset = divmod(position, len(words))
    return words[offset] if not round_ else f"{words[offset]}{separator}{round_ + 1}"


def build_tenant_name(position: int) -> tuple[str, str]:
    """Return name and slug of a tenant; slugs are distinct for any number of tenants."""
    suffix = COMPANY_SUFFIXES[
        (position * 5 + position // len(COMPANY_NAMES)) % len(COMPANY_SUFFIXES)
    ]
    name = number_word(COMPANY_NAMES, position)
    return f"{name} {suffix}", number_word(COMPANY_SLUGS, position, "-")


def build_partner_name(position: int) -> tuple[str, str]:
    name = number_word(PARTNER_NAMES, position)
    return f"{name} Partners", name.lower().replace(" ", "-")
