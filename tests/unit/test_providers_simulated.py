"""The simulated provider: answers made of the input, bounded, and judging as a reader would."""

import json

import pytest

from contracts.messages import Message
from tests.unit.simulating import REPORT, answer, ask, fast

pytestmark = pytest.mark.unit

# --- answers


async def test_an_answer_is_extracted_from_the_source():
    text = await answer(f"Summarize this report.\n\n{REPORT}")
    flat = " ".join(REPORT.split())
    assert text.count(".") <= 5
    assert all(sentence.strip(". ") in flat for sentence in text.split(". "))
    assert "Summarize" not in text


async def test_the_question_steers_the_answer():
    of_alert = await answer(f"{REPORT}\n\nWhat happened to the alert?")
    of_orders = await answer(f"{REPORT}\n\nWhat happened to the orders? Answer in one sentence.")
    assert "alert for disk space had been muted" in of_alert
    assert "rders" in of_orders
    assert of_orders.count(".") == 1


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
async def test_so_many_points_as_were_asked_for(count):
    text = await answer(f"List {count} key points of this report:\n\n{REPORT}")
    assert [line.split(".")[0] for line in text.splitlines()] == [
        str(n) for n in range(1, count + 1)
    ]
    assert len(set(text.splitlines())) == count


async def test_bullets_numbers_in_words_and_short_sources():
    text = await answer("Give me three bullet points:\n\nThe cat sat; the dog ran, the bird flew.")
    lines = text.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("- ") for line in lines)


async def test_so_many_sentences_and_words():
    two = await answer(f"Summarize in two sentences.\n\n{REPORT}")
    assert two.count(".") == 2
    brief = await answer(f"Summarize in at most 12 words.\n\n{REPORT}")
    assert 0 < len(brief.split()) <= 12


async def test_a_request_without_a_text_is_restated_not_invented():
    text = await answer("Design a REST API for user management")
    assert "user management" in text
    three = await answer("Write three sentences about a board that shows who is called.")
    assert three.count(".") == 3
    assert "a board that shows who is called" in three
    assert await answer("?") != ""


async def test_an_order_before_a_colon_takes_all_that_follows():
    source = "Write the tests first. Then write the code.\n\nRead both again."
    text = await answer(f"Make this shorter, and return only the text:\n\n{source}")
    assert "Make this" not in text
    assert "Read both again." in text


async def test_headings_are_no_points():
    source = (
        "# Permissions\n1. You may run it.\n2. You may copy it.\n\n# Duties\n1. You must say so."
    )
    text = await answer(f"List three points:\n\n{source}")
    assert text == "1. You may run it.\n2. You may copy it.\n3. You must say so."


async def test_earlier_turns_and_tool_results_are_a_source():
    turns = [
        Message("user", REPORT),
        Message("assistant", "Noted."),
        Message("user", "How many customers saw an error page?"),
    ]
    assert "1,200 customers" in await answer(turns)


async def test_unicode_scripts():
    text = await answer(
        "Summarize in one sentence.\n\n今天天气很好。我们去公园散步。孩子们在公园玩球。"
    )
    assert text in {"今天天气很好。", "我们去公园散步。", "孩子们在公园玩球。"}
    emoji = await answer("Summarize:\n\nDie Größe stimmt 👩‍👩‍👧. Çok güzel bir gün.")
    assert "👩‍👩‍👧" in emoji


# --- judging


async def test_a_score_is_on_the_scale_and_better_texts_score_higher():
    prompt = "Score this memo from 0 to 10. Answer with the number only.\n\n"
    poor = int(await answer(prompt + "bad memo bad memo bad memo"))
    good = int(await answer(prompt + f"{REPORT}\n\n1. Watch disks.\n2. Expire muted alerts."))
    assert 0 <= poor < good <= 10
    assert good >= 8


async def test_risks_are_rated_by_what_hurts():
    schema = {"type": "object", "properties": {"level": {"type": "integer"}}, "required": ["level"]}
    question = "As the buyer's counsel, rate the risk of this clause from 1 to 5: "
    harsh = (
        "The seller excludes all liability for loss, damage or delay and the buyer waives claims."
    )
    mild = "The goods shall be packed in wooden boxes and shipped on Monday morning by train."
    levels = [
        json.loads(await answer(question + clause, response_schema=schema))["level"]
        for clause in (mild, harsh)
    ]
    assert levels[0] < levels[1]
    assert all(1 <= level <= 5 for level in levels)


async def test_choices_and_yes_or_no():
    assert (
        await answer("Answer with one of: go, stop.\n\nThe build is red: stop the line.") == "stop"
    )
    said = await answer(f"Is this report good? Answer yes or no.\n\n{REPORT}")
    assert said.startswith(("Yes.", "No."))


# --- bounds


async def test_max_tokens_ends_the_answer_with_length():
    reply = await fast().chat(ask(f"Summarize.\n\n{REPORT}", max_tokens=7))
    assert reply.finish_reason == "length"
    assert reply.usage is not None
    assert 0 < reply.usage.completion_tokens <= 7
    whole = await answer(f"Summarize.\n\n{REPORT}")
    assert whole.startswith(reply.text)


async def test_A18_stop_sequences_end_the_answer_before_them():
    whole = await answer(f"Summarize.\n\n{REPORT}")
    stop = whole.split()[4]
    reply = await fast().chat(ask(f"Summarize.\n\n{REPORT}", stop=["not there", stop]))
    assert reply.text == whole[: whole.index(stop)]
    assert reply.finish_reason == "stop"


async def test_an_answer_that_was_begun_is_gone_on_from_exactly():
    prompt = Message("user", f"Summarize.\n\n{REPORT}")
    whole = await answer([prompt])
    for cut in (1, 20, len(whole) // 2, len(whole)):
        partial = whole[:cut].rstrip()
        rest = await answer([prompt, Message("assistant", partial)])
        assert partial + rest == whole
        asked = [
            prompt,
            Message("assistant", partial),
            Message("user", "Continue where you stopped."),
        ]
        assert partial + await answer(asked) == whole


async def test_a_foreign_beginning_is_completed_without_repeating_it():
    prompt = Message("user", f"Summarize.\n\n{REPORT}")
    whole = await answer([prompt])
    begun = "Here is my own start. " + whole.split(". ")[0] + "."
    rest = await answer([prompt, Message("assistant", begun)])
    assert rest.strip()
    assert whole.split(". ")[0] not in rest
