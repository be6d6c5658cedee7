"""Common given names, as a small gazetteer: a capitalised one is a person also where no phrase announces it.

Several hundred names frequent in English-language records of recent decades, and a few of each large language; far from all. A trained
recogniser replaces guessing here later (facts/privacy.md, section 4); profile, slots and phrases do not depend on this list.
"""

from __future__ import annotations

import re

from flywheel.governance.names import take_name
from flywheel.governance.ordinary import ORDINARY

_NAMES = """
aaron abdul abigail adam adrian agnes ahmed aisha alan albert alejandro alex alexa alexander alexandra alexis alfred ali alice alicia alison allison alyssa amanda amelia amina amir amit amy
ana anastasia andre andrea andreas andrei andrew andy angela angelica anita anja ann anna anne annette annie anthony antoine anton antonio anya arjun arnold arthur ashley ava axel
barbara barry beatrice ben benjamin bernard bernd beth betty beverly bianca billy bjorn brad bradley brandon brenda brendan brent brett brian brianna bridget brittany bruce bruno bryan
caleb callum camila carl carla carlos carmen carol carolina caroline carolyn catherine cathy cecilia charles charlie charlotte cheryl chloe chris christian christina christine christopher cindy claire clara claudia
clive colin connor corey courtney craig cristina curtis cynthia daniel daniela danielle danny darren dave david dawn deborah debra denise dennis derek diana diane diego dimitri dominic donald donna
doris dorothy doug douglas duncan dylan eddie edgar edith eduardo edward edwin eileen elaine eleanor elena eli elijah elisa elizabeth ella ellen elliot elsa emily emma eric erica erik erin ernesto
esther ethan eugene eva evan evelyn fatima felix fernando fiona florence frances francesca francesco francis francisco franz fred frederick gabriel gabriela gail gary gavin geoffrey george georgia gerald gerard gina giovanni
giulia glen glenn gloria gordon graham greg gregory greta guillermo gustavo hanna hannah hans harold harriet harry harvey hassan hazel heather hector heidi helen helena henry hiroshi holly howard hugh hugo ian ibrahim igor
ingrid irene iris isaac isabel isabella isaiah ivan jackie jackson jacob jacqueline jaime jake james jamie jan jane janet janice jared jason javier jean jeff jeffrey jen jenna jennifer jenny jeremy jerome jerry jesse jessica jesus
jill jim jimmy joan joanna joanne joe joel john johnny jon jonas jonathan jordan jorge jose joseph josh joshua joyce juan juanita judith judy julia julian juliana julie juliet julius justin kai karen karim karl kate katarina katherine
kathleen kathryn kathy katie keith kelly ken kenneth kenny kerry kevin khalid kim kimberly kirsten klaus kristen kristin kristina kumar kurt kyle lars laura lauren laurence laurie lawrence leah leila lena leo leon leonard leonardo leslie lewis
liam lillian lina linda lindsay lisa lloyd logan lois lorenzo lori lorraine louis louise luca lucas lucia lucy luigi luis luke lydia lynn madison maggie malcolm manuel marc marco marcus margaret maria marie mariam mario marion marjorie marlene
marta martha martin marvin mary mateo mathilda matt matteo matthew maureen maurice megan mehmet mei melanie melissa mercedes meredith mia michael michel michelle miguel mike mikhail milan mitchell mohamed mohammad mohammed molly monica morgan
morris mustafa nadia nancy naomi natalia natalie natasha nathan nathaniel neil nelson nicholas nicola nicole nikolai nina noah noel nora norma norman oliver olivia omar oscar otto owen pablo pamela paolo patricia patrick paul paula pauline pedro
peggy penny percy peter petra phil philip philippe phillip phyllis pierre priya quentin rachel rafael raj ralph ramon randy raphael raul ravi raymond rebecca regina reginald renee ricardo richard rick ricky rita robert roberta roberto robin
rodney roger roland roman ron ronald rosa rosemary ross roy russell ruth ryan sabrina sally sam samantha samir samuel sandra sara sarah scott sean sebastian sergei sergio seth shane shannon sharon shaun sheila shelley sherry shirley sidney silvia
simon simone sofia sonia sophia sophie stacey stacy stan stanley stefan stella stephan stephanie stephen steve steven stuart susan suzanne svetlana sven sylvia tamara tammy tanya tara ted terence teresa terry thelma theodore theresa thomas
tiffany tim timothy tina todd tom tomas tommy tony tracey tracy trevor tyler ursula valentina valerie vanessa vera veronica vicki vicky victor victoria vijay vincent viola virginia vivian vladimir walter wanda wayne wendy wesley wilhelm william
willie xavier yasmin yolanda yusuf yvonne zachary zoe
"""
GIVEN = frozenset(_NAMES.split())
# also everyday words: a person only inside a sentence ("ask Mark about it"), and none of the months and modal verbs
_ORDINARY_NAMES = "mark bill jack bob frank grant chase drew gene guy rob nick pat sue don grace rose faith joy lily daisy ivy ruby amber violet rich ernest dean"
GIVEN_AND_ORDINARY = frozenset(_ORDINARY_NAMES.split())
_CAPITALISED = re.compile(r"(?<![\w@./'-])[A-Z][a-z]+(?![\w@])")
PLACE_BEFORE = re.compile(r"\b(?:San|Santa|Saint|St\.?|Fort|Lake|Mount|Port|Los|Las|El|New)[ \t]+$")
PLACE_BEHIND = re.compile(
    r"[ \t]+(?:St|Street|Ave|Avenue|Road|Rd|Blvd|Boulevard|Lane|Hotel|Inn|Park|University|Venue|Airport|Hospital|Hall|Bay|Heights)\b"
)
_INTRODUCED = re.compile(
    r"\b(?:i am|i'?m|this is|it'?s|me|hi|hello|hey|dear|thanks|dr\.?|mr\.?|mrs\.?|ms\.?|for|with|by|son|daughter|friend|brother|sister|wife|husband|boss|colleague|isn't|and)[ \t]+(?P<v>[a-z]{3,})\b",
    re.I,
)
_INSIDE = re.compile(r"[a-z,][ \t]+$")


def given_name_spans(text: str) -> list[tuple[int, int]]:
    """Where a capitalised common given name stands, with the capitalised words that follow it as surname."""
    found = []
    for match in _CAPITALISED.finditer(text):
        word = match.group().casefold()
        listed = word in GIVEN and word not in ORDINARY
        if not listed and not (word in GIVEN_AND_ORDINARY and _INSIDE.search(text, max(0, match.start() - 4), match.start())):
            continue
        if PLACE_BEFORE.search(text, max(0, match.start() - 8), match.start()) or PLACE_BEHIND.match(text, match.end()):
            continue
        found.append(take_name(text, match.start(), titled=True, words=3) or match.span())
    return found


def introduced_given_names(text: str) -> list[tuple[int, int]]:
    """A common given name in lower case behind a word that introduces people."""
    return [m.span("v") for m in _INTRODUCED.finditer(text) if m["v"] in GIVEN and m["v"] not in ORDINARY]
