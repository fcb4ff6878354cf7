"""Makes documents.jsonl, texts in four languages for the tests of tokenizer training, from lists of words."""

import json
import random

random.seed(5)
ENGLISH = """the of and to in a is that it for was on are with as be at by this have from or had but not what all were
when we there can an your which their said if do will each about how up out them then she many some so these would
other into has more her two like him see time could no make than first been its who now people my made over did down
only way find use may water long little very after words called just where most know miller's baker flour river bridge
counted carried morning evening don't isn't well-known re-read Kafka's café naïve Zürich""".split()
JAPANESE = """粉屋 パン屋 小麦粉 川 橋 朝 夕方 数えました 運びました 聞きました これは それは 全部 ですか です ます した ている
から まで という こと もの ため よう 東京 大阪 学校 学生 先生 コンピューター インストール システム ファイル データ を は が
に で と も の へ や 新しい 古い 大きい 小さい 人間 自由 権利 すべて 何人 平等 世界 宣言 ー カー""".split()
KOREAN = """방앗간 주인은 밀가루 자루를 세었습니다 빵집 강 다리 아침 저녁 모두 사람은 태어날 때부터 자유롭고 존엄과 권리에
있어 평등하다 설치 시스템 파일을 데이터가 컴퓨터에서 그리고 그러나 또는 합니다 있습니다 없습니다 하는 것이 위해 대한 모든
새로운 작은 큰 학교에 학생들이 선생님은 서울 부산""".split()
CHINESE = """磨坊 面包师 面粉 河流 桥 早上 晚上 数了 一袋 人人 生而 自由 在 尊严 和 权利 上 一律 平等 安装 系统 文件 数据 计算机
的 了 是 不 我 有 他 这 为 之 大 来 以 个 中 们 学校 学生 老师 北京 上海 新 旧 世界 宣言 所有""".split()
RARE = ["😀", "\u00a0", "é", "e\u0301", "Ω", "ж", "ß", "①", "ﾊ", "\u3000", "=====", "...", "1000000", "http://a.b/c",
        "ll", "hahaha", "<0x0A>", "αβγ", "ไทย", "שלום"]


def document(words, space, ends, comma):
    weights = [1 / (rank + 2) for rank in range(len(words))]
    text = ""
    for _ in range(random.randint(3, 12)):
        for position in range(random.randint(3, 14)):
            word = random.choices(words, weights)[0]
            if random.random() < 0.02:
                word = random.choice(RARE)
            if random.random() < 0.03:
                word = str(random.randint(0, 2100))
            text += (space if position else "") + (word.capitalize() if position == 0 else word)
            if random.random() < 0.06:
                text += comma
        text += random.choice(ends)
    return text.rstrip()


with open("documents.jsonl", "w", encoding="utf-8") as file:
    for _ in range(55):
        for arguments in ((ENGLISH, " ", [". ", "? ", ".\n", ".\n\n"], ","), (JAPANESE, "", ["。", "。\n", "？「", "」"], "、"),
                          (KOREAN, " ", [". ", ".\n"], ","), (CHINESE, "", ["。", "！\n", "，"], "，")):
            file.write(json.dumps({"text": document(*arguments)}, ensure_ascii=False) + "\n")
