"""Filter text -> tree -> text, and errors that point."""

from __future__ import annotations

import pickle
import string
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch import attribute_grammar, filter_grammar
from airflow_provider_personalize.batch.filter_expression import (
    Action,
    AnyValue,
    Clause,
    Comparator,
    Comparison,
    Dataset,
    Field,
    FilterExpression,
    FilterSyntaxError,
    Membership,
    Parameter,
    Subject,
    parse_filter,
)
from airflow_provider_personalize.batch.grammar import _parser

GENRE = Field(Dataset.ITEMS, "GENRE")
PRICE = Field(Dataset.ITEMS, "PRICE")
EVENT_TYPE = Field(Dataset.INTERACTIONS, "EVENT_TYPE")
AGE = Field(Dataset.CURRENT_USER, "AGE")


def where(conditions: str, *, subject: str = "ItemID") -> Clause:
    (clause,) = parse_filter(f"INCLUDE {subject} WHERE {conditions}").clauses
    return clause


def condition(text: str, *, subject: str = "ItemID"):
    ((only,),) = where(text, subject=subject).conditions
    return only


class TestTree:
    def test_a_whole_expression(self) -> None:
        expression = parse_filter(
            'INCLUDE ItemID WHERE Items.GENRE IN ("Comedy","Drama") '
            "IF CurrentUser.AGE > 18 AND CurrentUser.LEVEL IN ($L)"
            ' | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")'
        )
        assert expression == FilterExpression(
            (
                Clause(
                    Action.INCLUDE,
                    Subject.ITEM_ID,
                    ((Membership(GENRE, False, ("Comedy", "Drama")),),),
                    (
                        Comparison(AGE, Comparator.GREATER, 18),
                        Membership(Field(Dataset.CURRENT_USER, "LEVEL"), False, Parameter("L")),
                    ),
                ),
                Clause(Action.EXCLUDE, Subject.ITEM_ID, ((Membership(EVENT_TYPE, False, ("click",)),),)),
            )
        )
        assert [clause.dataset for clause in expression.clauses] == [Dataset.ITEMS, Dataset.INTERACTIONS]

    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ('Items.GENRE IN ("Comedy")', Membership(GENRE, False, ("Comedy",))),
            ("Items.GENRE IN ('Comedy')", Membership(GENRE, False, ("Comedy",))),
            ('Items.GENRE NOT IN ("a", "b")', Membership(GENRE, True, ("a", "b"))),
            ("Items.GENRE IN ($GENRES)", Membership(GENRE, False, Parameter("GENRES"))),
            ("Items.GENRE IN CurrentItem.GENRE", Membership(GENRE, False, Field(Dataset.CURRENT_ITEM, "GENRE"))),
            (
                "Items.PRICE < CurrentItem.PRICE",
                Comparison(PRICE, Comparator.LESS, Field(Dataset.CURRENT_ITEM, "PRICE")),
            ),
            ("Items.PRICE >= $low", Comparison(PRICE, Comparator.GREATER_OR_EQUAL, Parameter("low"))),
            ("Items.PRICE = 3", Comparison(PRICE, Comparator.EQUAL, 3)),
            ("Items.PRICE != -2.5", Comparison(PRICE, Comparator.NOT_EQUAL, -2.5)),
            ("Items.PRICE <= 1e3", Comparison(PRICE, Comparator.LESS_OR_EQUAL, 1000.0)),
            ('Interactions.EVENT_TYPE IN ("click","buy")', Membership(EVENT_TYPE, False, ("click", "buy"))),
            ("Interactions.EVENT_TYPE IN (*)", Membership(EVENT_TYPE, False, AnyValue())),
            ('Interactions.EVENT_TYPE NOT IN ("*")', Membership(EVENT_TYPE, True, AnyValue())),
            ('Interactions.EVENT_TYPE IN ("buy","*")', Membership(EVENT_TYPE, False, AnyValue())),
            ('Items.GENRE IN ("*")', Membership(GENRE, False, ("*",))),
        ],
    )
    def test_each_kind_of_condition(self, text: str, tree: Membership | Comparison) -> None:
        assert condition(text) == tree

    def test_users_and_actions_are_subjects_too(self) -> None:
        age = Comparison(Field(Dataset.USERS, "AGE"), Comparator.LESS, Parameter("AGE"))
        assert condition("Users.AGE < $AGE", subject="UserID") == age
        taken = Membership(Field(Dataset.ACTION_INTERACTIONS, "EVENT_TYPE"), False, ("Taken",))
        assert condition('Action_Interactions.EVENT_TYPE IN ("Taken")', subject="ActionID") == taken
        assert where("Actions.VALUE > 1", subject="ActionID").dataset is Dataset.ACTIONS

    def test_and_binds_tighter_than_or(self) -> None:
        groups = where("Items.A = 1 OR Items.B = 2 AND Items.C = 3 OR Items.D = 4").conditions
        assert [[str(each) for each in all_of] for all_of in groups] == [
            ["Items.A = 1"],
            ["Items.B = 2", "Items.C = 3"],
            ["Items.D = 4"],
        ]

    @pytest.mark.parametrize(
        "text",
        [
            'include itemid where ITEMS.genre not in ("Comedy") or items.Price<3 if CURRENTUSER.age>18',
            'Include ItemId Where iTeMs.Genre  NOT\n\tIN("Comedy")OR Items.PRICE < 3 IF CurrentUser.AGE > 18',
            '\u00a0INCLUDE ItemID WHERE Items.GENRE NOT\u00a0IN ( "Comedy" ) OR Items . PRICE<3 IF CurrentUser.AGE>18 ',
        ],
    )
    def test_case_and_space_do_not_matter_outside_values(self, text: str) -> None:
        assert str(parse_filter(text)) == (
            'INCLUDE ItemID WHERE Items.GENRE NOT IN ("Comedy") OR Items.PRICE < 3 IF CurrentUser.AGE > 18'
        )

    def test_columns_may_be_named_like_keywords(self) -> None:
        assert str(where("Items.IN IN ('a') AND Items.WHERE = 1")) == (
            'INCLUDE ItemID WHERE Items.IN IN ("a") AND Items.WHERE = 1'
        )

    @pytest.mark.parametrize(
        ("literal", "value"),
        [
            ('"Coffee, Tea & Cocoa"', "Coffee, Tea & Cocoa"),
            ('" Comedy "', " Comedy "),
            ('""', ""),
            ('"a|b) AND"', "a|b) AND"),
            ('"日本 🎬"', "日本 🎬"),
            (r'"say \"x\""', 'say "x"'),
            ("""'say "x"'""", 'say "x"'),
            (r"'it\'s'", "it's"),
            (r'"AC\DC"', r"AC\DC"),
            (r'"a\\b"', r"a\b"),
            ('"two\nlines"', "two\nlines"),
        ],
    )
    def test_values_are_kept_exactly(self, literal: str, value: str) -> None:
        assert condition(f"Items.GENRE IN ({literal})").values == (value,)

    def test_parameters_are_listed_once_with_their_case(self) -> None:
        expression = parse_filter(
            "INCLUDE ItemID WHERE Items.A IN ($g) AND Items.B > $N OR Items.C < $g"
            " | EXCLUDE ItemID WHERE Items.D IN ($G) IF CurrentUser.E = $n"
        )
        assert expression.parameters == ("g", "N", "G", "n")

    def test_fields_are_every_mention_left_and_right_with_their_places(self) -> None:
        text = "INCLUDE ItemID WHERE Items.A < CurrentItem.B OR Items.A > 3 IF CurrentUser.C = 1"
        fields = parse_filter(text).fields
        assert [str(each) for each in fields] == ["Items.A", "CurrentItem.B", "Items.A", "CurrentUser.C"]
        assert all(text[each.position :].startswith(str(each)) for each in fields)
        assert [each.dataset.stored for each in fields] == [Dataset.ITEMS, Dataset.ITEMS, Dataset.ITEMS, Dataset.USERS]

    def test_who_knows_the_schema_can_point_at_a_column(self) -> None:
        expression = parse_filter("INCLUDE ItemID WHERE Items.A = 1 AND Items.COLOUR = 2")
        error = expression.error_at(expression.fields[1], "Items has no column COLOUR.")
        assert str(error) == (
            "Could not create filter. Items has no column COLOUR. (line 1, column 38)\n"
            "  INCLUDE ItemID WHERE Items.A = 1 AND Items.COLOUR = 2\n"
            "                                       ^"
        )


def error_of(text: str) -> FilterSyntaxError:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    return caught.value


# What expressions are made of, and letters that Unicode counts as an i or an s.
WORDS = [
    *("INCLUDE", "EXCLUDE", "ItemID", "UserID", "WHERE", "IF", "AND", "OR", "IN", "NOT", "|", "(", ")", ",", "*"),
    *("Items.", "Interactions.EVENT_TYPE", "CurrentUser.", "CurrentItem.", "A", "\u0130tems.", "item\u017f.", "é"),
    *('"', "'", '"x"', "\\", "$P", "1", "-1", "1e999", "=", "<", "\n"),
]


class TestErrors:
    """`@` in a case marks the place that the error must point at."""

    @pytest.mark.parametrize(
        ("marked", "reason"),
        [
            ("@", "Expected INCLUDE or EXCLUDE at the end"),
            ("@SELECT *", "Expected INCLUDE or EXCLUDE, not SELECT"),
            ("INCLUDE@", "Expected ItemID, UserID or ActionID at the end"),
            ("INCLUDE @Items.A = 1", "Expected ItemID, UserID or ActionID, not Items"),
            ("INCLUDE ItemID @Items.A = 1", "Expected WHERE, not Items"),
            ("INCLUDE ItemID WHERE @Item.A = 1", "Expected a dataset and column like Items.GENRE, not Item"),
            ("INCLUDE ItemID WHERE @NOT Items.A = 1", "Expected a dataset and column like Items.GENRE, not NOT"),
            ("INCLUDE ItemID WHERE @(Items.A = 1)", "Conditions cannot be grouped by parentheses"),
            ("INCLUDE ItemID WHERE Items @= 1", "Expected a dot and a column, not ="),
            ("INCLUDE ItemID WHERE Items.@1 = 1", "Expected a column name, not 1"),
            (
                "INCLUDE ItemID WHERE Items.A @LIKE 1",
                "Expected IN, NOT IN or a comparator (=, !=, <, <=, >, >=), not L",
            ),
            ('INCLUDE ItemID WHERE Items.A = @"x"', "Text is compared with IN"),
            (
                "INCLUDE ItemID WHERE Items.A = @x",
                "Expected a number, a $placeholder or CurrentItem and a column, not x",
            ),
            ("INCLUDE ItemID WHERE Items.A = @1e400", "This number does not fit 64 bits"),
            ("INCLUDE ItemID WHERE Items.A = @9223372036854775808", "This number does not fit 64 bits"),
            (
                "INCLUDE ItemID WHERE Items.A = @1x",
                "Expected a number, a $placeholder or CurrentItem and a column, not 1x",
            ),
            ('INCLUDE ItemID WHERE Items.A IN @"x"', "Expected values in parentheses or CurrentItem and a column"),
            ("INCLUDE ItemID WHERE Items.A IN (@x)", "Expected a value in double quotes, a $placeholder or *, not x"),
            ("INCLUDE ItemID WHERE Items.A IN (@7)", 'Values in parentheses are quoted, like IN ("7")'),
            ("INCLUDE ItemID WHERE Items.A IN (@)", "Expected a value in double quotes"),
            ('INCLUDE ItemID WHERE Items.A IN ("x" @"y")', 'Expected a comma or a closing parenthesis, not "y"'),
            ('INCLUDE ItemID WHERE Items.A IN ("x"@', "Expected a comma or a closing parenthesis at the end"),
            ('INCLUDE ItemID WHERE Items.A IN (@"x)', "This text has no closing quote"),
            ("INCLUDE ItemID WHERE Items.A IN (@“x”)", "straight quotes"),
            ("INCLUDE ItemID WHERE Items.A = 1 @Items.B = 1", 'Expected AND, OR, IF, "|" or the end, not Items'),
            ("INCLUDE ItemID WHERE Items.A = 1 AND@", "Expected a dataset and column like Items.GENRE at the end"),
            ("INCLUDE ItemID WHERE Items.A = 1 |@", "Expected INCLUDE or EXCLUDE at the end"),
            ("INCLUDE ItemID WHERE Items.A = 1 @& Items.B = 2", "Expected AND, OR, IF"),
            ("INCLUDE ItemID WHERE @CurrentUser.A = 1", "CurrentUser is allowed only after IF"),
            ("INCLUDE ItemID WHERE Items.A = 1 IF @Users.B = 1", "Only CurrentUser is allowed after IF"),
            (
                "INCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.A = 1 @OR CurrentUser.B = 1",
                "Conditions after IF are joined by AND only",
            ),
            (
                "INCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.A = 1 @IF CurrentUser.B = 1",
                'Expected AND, "|" or the end, not IF',
            ),
            (
                'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*") OR @Items.A = 1',
                'All conditions of a clause are on one dataset, here Interactions; join clauses by "|".',
            ),
            (
                "INCLUDE UserID WHERE @Items.A = 1",
                "A clause on UserID takes conditions on Users or Interactions, not on Items.",
            ),
            ("INCLUDE ItemID WHERE @Users.A = 1", "A clause on ItemID takes conditions on Items or Interactions"),
            ("INCLUDE UserID WHERE Users.A = 1 IF @CurrentUser.B = 1", "A clause on UserID has no current user"),
            ('INCLUDE ItemID WHERE @Interactions.DEVICE IN ("x")', "Of Interactions only EVENT_TYPE can be filtered."),
            ("INCLUDE ItemID WHERE @Interactions.EVENT_TYPE = 1", "Interactions.EVENT_TYPE is text: use IN"),
            ("INCLUDE ItemID WHERE @Items.A IN (*)", "* stands for any event type"),
            ("INCLUDE ItemID WHERE Items.A = 1 IF @CurrentUser.B IN (*)", "* stands for any event type"),
            (
                "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN @CurrentItem.TYPE",
                "CurrentItem is compared with a column of Items only.",
            ),
            (
                "EXCLUDE ItemID WHERE Items.A NOT IN (@$X)",
                "Invalid input symbol: $X. Placeholders are not allowed with NOT_IN operator.",
            ),
        ],
    )
    def test_names_what_is_wrong_and_points_at_it(self, marked: str, reason: str) -> None:
        position = marked.index("@")
        text = marked.replace("@", "")
        error = error_of(text)
        assert reason in error.reason
        assert (error.position, error.text) == (position, text)
        summary, line, caret = str(error).splitlines()
        assert summary == f"Could not create filter. {error.reason} (line 1, column {position + 1})"
        assert line == f"  {text}"
        assert caret.index("^") == position + 2

    def test_the_documented_message_stands_first(self) -> None:
        assert str(error_of("EXCLUDE ItemID WHERE Items.A NOT IN ($X)")).startswith(
            "Could not create filter. Invalid input symbol: $X. Placeholders are not allowed with NOT_IN operator."
        )

    def test_in_a_text_of_several_lines_only_that_line_is_shown(self) -> None:
        error = error_of("INCLUDE ItemID\r\nWHERE Items.A = 1\r\n\tAND Item.B = 2\r\n")
        assert (error.line, error.column) == (3, 6)
        assert str(error).splitlines()[1:] == ["   AND Item.B = 2 ", "       ^"]

    def test_of_a_long_line_only_the_surroundings_are_shown(self) -> None:
        error = error_of("INCLUDE ItemID WHERE " + "Items.A = 1 OR " * 60 + "Items.A LIKE 1" + " OR Items.A = 1" * 60)
        _, line, caret = str(error).splitlines()
        assert len(line) < 130
        assert line[caret.index("^") :].startswith("LIKE 1 OR")
        assert line.strip().startswith("...")
        assert line.endswith("...")

    def test_a_long_unexpected_word_is_shortened(self) -> None:
        assert len(error_of("INCLUDE " + "x" * 1000).reason) < 100

    def test_an_expression_has_at_most_2500_characters(self) -> None:
        longest = 'INCLUDE ItemID WHERE Items.A IN ("{}")'.format("x" * (2500 - 36))
        assert len(longest) == 2500
        assert parse_filter(longest).parameters == ()
        assert "at most 2500 characters, this one has 2501" in error_of(longest + " ").reason

    def test_a_filter_has_at_most_10_distinct_fields(self) -> None:
        ten = "INCLUDE ItemID WHERE " + " AND ".join(f"Items.C{i} = 1" for i in range(9)) + " IF CurrentUser.C0 = 1"
        same_again = " | EXCLUDE ItemID WHERE Items.C1 < CurrentItem.C2 IF CurrentUser.c0 = 2"
        assert len({str(each) for each in parse_filter(ten + same_again).fields}) == 11  # CurrentItem.C2 is Items.C2
        one_more = ten + " | EXCLUDE ItemID WHERE Items.C9 = 1"
        error = error_of(one_more)
        assert error.reason == "A filter has at most 10 distinct fields; this is one more."
        assert error.position == one_more.index("Items.C9")

    def test_travels_to_another_process(self) -> None:
        error = error_of("INCLUDE ItemID WHERE Items.A LIKE 1")
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), copy.position) == (str(error), error.position)

    @settings(max_examples=300, deadline=None)
    @given(
        st.text()
        | st.lists(
            st.sampled_from(WORDS),
            max_size=14,
        ).map(" ".join)
    )
    @example("INCLUDE ItemID WHERE Items.A IN (\\")
    @example("\ud800")
    def test_no_text_raises_anything_else(self, text: str) -> None:
        error = None
        try:
            parse_filter(text)
        except FilterSyntaxError as raised:
            error = raised
        assert error is None or (0 <= error.position <= len(text) and "^" in str(error))


# Trees that the rules allow, built without the parser.
COLUMNS = st.sampled_from(["GENRE", "IN", "NOT", "AND", "OR", "IF", "PRICE_2", "_X"])
PARAMETERS = st.text(string.ascii_letters + string.digits + "_-.é", min_size=1, max_size=6).map(Parameter)
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\\\"'*,|)"), max_size=6)
LITERALS = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


def fields(dataset: Dataset) -> st.SearchStrategy[Field]:
    if dataset in (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS):
        return st.just(Field(dataset, "EVENT_TYPE"))
    return COLUMNS.map(lambda column: Field(dataset, column))


def conditions(dataset: Dataset) -> st.SearchStrategy[Membership | Comparison]:
    field = fields(dataset)
    literals = LITERALS
    in_values = [PARAMETERS]
    operands = [NUMBERS, PARAMETERS]
    not_in_values: list[st.SearchStrategy] = []
    if dataset in (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS):
        literals = LITERALS.filter(lambda values: "*" not in values)
        not_in_values.append(st.just(AnyValue()))
    if dataset is Dataset.ITEMS:
        not_in_values.append(fields(Dataset.CURRENT_ITEM))
        operands.append(fields(Dataset.CURRENT_ITEM))
    memberships = st.builds(Membership, field, st.just(False), st.one_of(literals, *in_values, *not_in_values)) | (
        st.builds(Membership, field, st.just(True), st.one_of(literals, *not_in_values))
    )
    if dataset in (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS):
        return memberships
    return memberships | st.builds(Comparison, field, st.sampled_from(Comparator), st.one_of(*operands))


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    subject, dataset = draw(
        st.sampled_from(
            [
                (Subject.ITEM_ID, Dataset.ITEMS),
                (Subject.ITEM_ID, Dataset.INTERACTIONS),
                (Subject.USER_ID, Dataset.USERS),
                (Subject.USER_ID, Dataset.INTERACTIONS),
                (Subject.ACTION_ID, Dataset.ACTIONS),
                (Subject.ACTION_ID, Dataset.ACTION_INTERACTIONS),
            ]
        )
    )
    all_of = st.lists(conditions(dataset), min_size=1, max_size=3).map(tuple)
    if_conditions = st.lists(conditions(Dataset.CURRENT_USER), max_size=0 if subject is Subject.USER_ID else 2).map(
        tuple
    )
    alternatives = st.lists(all_of, min_size=1, max_size=3).map(tuple)
    return Clause(draw(st.sampled_from(Action)), subject, draw(alternatives), draw(if_conditions))


def within_the_limits(expression: FilterExpression) -> bool:
    distinct = {(each.dataset.stored, each.column) for each in expression.fields}
    return len(distinct) <= 10 and len(str(expression)) <= 2500


@settings(deadline=None)
@given(st.lists(clauses(), min_size=1, max_size=3).map(tuple).map(FilterExpression).filter(within_the_limits))
def test_a_tree_equals_its_text_parsed_again(tree: FilterExpression) -> None:
    parsed = parse_filter(str(tree))
    assert parsed == tree
    assert parsed.text == str(tree)
    assert pickle.loads(pickle.dumps(parsed)) == tree


@pytest.mark.parametrize("grammar", [filter_grammar, attribute_grammar])
def test_every_terminal_has_a_word_for_messages(grammar) -> None:
    terminals = {terminal.name for terminal in _parser(grammar._LANGUAGE.grammar).terminals}
    assert terminals - {"WHITESPACE"} == set(grammar._LANGUAGE.words) - {"$END"}


def test_importing_the_language_does_not_load_lark() -> None:
    check = (
        "import sys; import airflow_provider_personalize.batch.filter_expression as f;"
        "import airflow_provider_personalize.batch.attribute_query;"
        "heavy = {'lark', 'airflow', 'numpy', 'polars', 'boto3', 'botocore'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "f.parse_filter('INCLUDE ItemID WHERE Items.A = 1'); assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
