"""Ordinary English words: what a lone word must not be in order to count as somebody's name.

A short list of words that open sentences, answer questions and fill support chats, and of names that are also words. It is used where
a rule would otherwise take `Happy` in "I am Happy" for a person, and where a scan for the first name `Mark` would find "mark as paid".
"""

from __future__ import annotations

_WORDS = """
a able about above accept access account across act action active actually add added additional address admin after afternoon again against agent ago ahead
all allow almost alone along already alright also always am amount an and angry annoyed another answer any anymore anyone anything anyway apartment apologies
apologise apologize app appear applied apply appointment appreciate april are area around arrive arrived as ask asked asking assist assistance assistant at
august authorized auto available avenue average away awesome back bad balance bank basic be because become been before begin behind being believe below best
better between big bill billing black blue board book booked booking born both bought box brand bring broken brother brown browser bug build business busy but button
buy by bye call called calling can cancel cancelled cannot captain car card care case cash cat cause center change changed charge charged chat cheap check
checked checking child choose city class clean clear click close closed code coffee color come coming comma company complete completed concern concerned
confirm confirmed confused confusion contact continue copy correct cost could country couple coupon course cover create created credit curious current currently
customer daily damaged data date daughter day days dead deal dear december decided default defective definitely delay delayed delete deleted delivered delivery
department deposit desk detail details did different difficult direct disappointed discount dispute do doctor does dog doing dollar dollars done door double
down due during each earlier early easy either else email employee empty end enough enter entire error etc even evening ever every everyone everything exact
exactly example excellent excited exchange excuse expect expected experience expired explain extra fact fail failed fair fall false family far fast father
february feel few field figure file fill final finally find fine finish finished first five fix flight follow following food for forgot form forward found four
free friday friend from front frustrated full fun function further future gender general get getting gift girl give given glad go god going gold gone good goodbye
got grand great green greetings guess guest guy had half hand happen happened happy hard has hate have having he head hear heard hello help helpful her here
hey hi high him his hold holiday home hope hoping host hotel hour hours house how however huge human hurry husband i id idea if im immediately important in
include including incorrect indeed info information inquiring inquiry inside instead interested internet into invalid invoice is issue issues it item items its itself
january job july june just keep kept key kid kids kind king know known label lady large last late later latest least leave left legal less let letter level life light like
line link list listed little live local locate located locked log login long look looking lost lot love low luck luckily lunch machine madam made mail main make making man
manage management manager many march match matter may maybe me mean meant meet meeting member membership message middle might mind mine minute minutes miss missing mistake
mobile moment monday money month monthly months more morning most mother move moved moving mr mrs ms much must my myself name named names near need needed needs neither never
new next nice night nine no nobody none nope nor normal not note nothing notice november now number numbers october of off offer office officer often oh ok okay
old on once one online only open opened option options or order ordered orders other our ours out outside over overdue own owner package page paid paper parcel part
party pass password past pay paying payment pending people per perfect perhaps period person personal pet phone phones photo pick picked picture piece pin place
placed plan plane play please pleased plus point policy portal possible post postal premium present press pretty previous price print printer prior probably problem
problems process processed product products profile promise promo proper provide provided provider purchase purchased put quality quarter question questions quick quickly quite
random rather reach read ready real really reason receipt receive received recent recently record red refer refund refunded regarding regards register registered regular reject
related remember remove repeat replace replacement reply report request required reset resolve resolved respond response rest restaurant result return returned returning returns
review ride right road room round rude run running sad safe said sale sales same saturday saw say saying scared school search second secret section secure
security see seem seems seen sell send sent september serious service set settings seven several shall she ship shipment shipped shipping shop short should show
side sign silver similar simple simply since sincerely single sir sister sit site situation six size slow small so sold some somebody someone something sometimes
son soon sorry sort sound speak special specific spend staff standard start started state statement status stay step still stock stolen stop store story street
strong stuck student stuff subject subscription such suggest summer sunday supervisor supply support suppose sure surprise surprised system take taken taking talk team
technical tell ten terrible test text than thank thanks that the their them then there these they thing things think third this those though thought three through
thursday ticket tickets till time times tired title to today together told tomorrow tonight too took top total touch track tracking transaction transfer transit travel trial tried
trip trouble true trust try trying tuesday turn twice two type unable under understand unfortunately unhappy unit unknown unless until up update updated upgrade upon upset urgent us usd
use used user username using usual usually valid value various verification verified verify version very via view visa visit voucher wait waiting walk wallet want wanted wants warehouse
warranty was wash watch water way we weather web website wednesday week weekend weekly weeks welcome well went were west what whatever when where whether which while white who whole
whom whose why wife will window winter wish with within without woman wonder wonderful wondering word work working world worried worry would write writing wrong yeah year years yellow yep yes
yesterday yet you young your yours yourself zero zip
north east south spring autumn summer rose grace mark bill will may june april august hope faith joy dawn lily daisy ivy olive pearl ruby amber crystal jade violet rich frank ernest grant
chase chance drew gene guy jack bob pat sue don rob nick art bud dean duke earl king major max miles page pierce reed rusty sandy skip sky stone summer wade ward wood young baker cook
carter mason miller smith taylor turner walker fisher hunter potter porter parker cooper field hill lake banks bush rivers woods bishop pope knight noble price cross day moon star
admiral chief commander sergeant engineer lieutenant nurse teacher lawyer editor director president secretary senior junior staff intern anonymous null none undefined true false test demo example sample
acting bartender calling writing returning planning looking trying interested afraid sure unsure aware also currently locked unable
uh um hmm hmmm omg lol wow nevermind nah aha ah ugh whoa yay inn venue bay boulevard avenue lane drive minutes miles downtown uptown monthly mom dad mum
def return import class print function string int float list dict self async await const let var public private static void
"""

ORDINARY: frozenset[str] = frozenset(_WORDS.split())
# these are names first; a rule that expects a name takes them, a scan for strangers' names does not
NAMES_TOO: frozenset[str] = frozenset(
    ["rose", "grace", "mark", "bill", "will", "may", "june", "april", "august", "hope", "faith", "joy", "dawn", "lily", "daisy", "ivy", "olive", "pearl", "ruby", "amber", "crystal", "jade", "violet", "rich", "frank", "ernest", "grant", "chase", "chance", "drew", "gene", "guy", "jack", "bob", "pat", "sue", "don", "rob", "nick", "art", "bud", "dean", "duke", "earl", "king", "max", "miles", "page", "pierce", "reed", "rusty", "sandy", "skip", "wade", "ward", "wood", "young", "baker", "cook", "carter", "mason", "miller", "smith", "taylor", "turner", "walker", "fisher", "hunter", "potter", "porter", "parker", "cooper", "hill", "lake", "banks", "bush", "rivers", "woods", "bishop", "pope", "knight", "noble", "price", "cross", "day", "moon", "star", "brown", "white", "black", "green", "gray", "grey", "stone", "summer", "autumn"]
)  # fmt: skip
NEVER_A_NAME: frozenset[str] = ORDINARY - NAMES_TOO


def is_ordinary(value: str) -> bool:
    """Is this one plain word of everyday English (whatever its case), which alone tells nobody's identity?"""
    return value.casefold() in ORDINARY
